/* What:      commands on their way out: which ones may go over a shared connection, and their RESP form.
 * Ownership: none. Context: any thread. Callbacks: none.
 * Errors:    in *why: TUG_EINVAL with the number of the argument (the command's name is argument 1),
 *            TUG_EMISUSE with a sentence. */
#ifndef TUG_REDIS_COMMAND_H
#define TUG_REDIS_COMMAND_H

#include <tug/error.h>
#include <tug/value.h>

/* The server refuses longer commands by itself, and closes the connection for it. */
#define REDIS_ARGS_MAX ((size_t)1 << 20)

/* Checks the arguments; *ret_room is what writing them takes at most. */
int tug__redis_command_measure(tug_args command, size_t *ret_room, tug_error *why) TUG_CHECK;
/* Writes a measured command; returns the end. */
uint8_t *tug__redis_command_write(tug_args command, uint8_t *to);
/* 0, or why the command cannot go over a connection that tasks share. */
int tug__redis_command_gate(tug_args command, tug_error *why) TUG_CHECK;

#endif
