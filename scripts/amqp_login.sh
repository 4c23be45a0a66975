#!/bin/bash
# amqp_login.sh PORT USER <PASSWORD-FILE
#
# Logs in to the AMQP 0-9-1 broker on 127.0.0.1:PORT, opens the virtual host "/", closes the
# connection in good order, and says by its exit status whether all of that worked. A listening
# port is no proof: RabbitMQ accepts connections before it has its users, and another process
# may have taken the port. rabbitmqctl would start an Erlang VM for every look (half a second).
# The caller bounds the time (timeout 5 amqp_login.sh ...).
set -euo pipefail

(($# == 2)) || {
    echo "amqp_login: usage: amqp_login.sh PORT USER <PASSWORD-FILE" >&2
    exit 2
}
port=$1
user=$2
IFS= read -r password

# hex_int BYTES NUMBER and hex_text TEXT give the printf escapes of a field; TEXT is ASCII.
hex_int() {
    local i
    for ((i = ($1 - 1) * 8; i >= 0; i -= 8)); do
        printf '\\x%02x' $((($2 >> i) & 255))
    done
}
hex_text() {
    local i
    for ((i = 0; i < ${#1}; i++)); do
        printf '\\x%02x' "'${1:i:1}"
    done
}
short_text() { hex_int 1 ${#1} && hex_text "$1"; }

# send_method CLASS METHOD ARGUMENTS: a method frame on channel 0. An escape is four characters.
send_method() {
    local body
    body=$(hex_int 2 "$1")$(hex_int 2 "$2")$3
    # shellcheck disable=SC2059 # the escapes are the format
    printf "$(hex_int 1 1)$(hex_int 2 0)$(hex_int 4 $((${#body} / 4)))$body$(hex_int 1 206)" >&7
}

# expect_method CLASS METHOD: reads one frame into the array "frame" (its payload's bytes).
expect_method() {
    local -a head
    local size
    read -ra head < <(od -An -v -tu1 -w7 -N7 <&7)
    ((${#head[@]} == 7)) || return 1
    # A peer that is no AMQP broker may say anything here.
    ((head[0] == 1 && head[3] == 0 && head[4] == 0)) || return 1
    size=$((head[5] * 256 + head[6]))
    read -ra frame < <(od -An -v -tu1 -w$((size + 1)) -N$((size + 1)) <&7)
    ((${#frame[@]} == size + 1 && frame[size] == 206)) || return 1
    ((frame[0] * 256 + frame[1] == $1 && frame[2] * 256 + frame[3] == $2))
}

exec 7<>"/dev/tcp/127.0.0.1/$port"
printf 'AMQP\x00\x00\x09\x01' >&7
expect_method 10 10 # start

# start-ok: no client properties, SASL PLAIN (NUL user NUL password), locale.
send_method 10 11 "$(hex_int 4 0)$(short_text PLAIN)$(
    hex_int 4 $((2 + ${#user} + ${#password}))
)$(hex_int 1 0)$(hex_text "$user")$(hex_int 1 0)$(hex_text "$password")$(short_text en_US)"
expect_method 10 30 # tune: the password was right

# tune-ok: the broker's own limits, no heartbeat.
send_method 10 31 "$(for i in 4 5 6 7 8 9; do hex_int 1 "${frame[i]}"; done)$(hex_int 2 0)"
send_method 10 40 "$(short_text /)$(hex_int 2 0)" # open
expect_method 10 41
send_method 10 50 "$(hex_int 2 200)$(hex_int 1 0)$(hex_int 4 0)" # close
expect_method 10 51
