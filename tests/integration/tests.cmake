# redis
tug_test(integration redis LIBS tug::redis)
