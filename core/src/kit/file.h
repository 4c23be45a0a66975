/* What:      what the two halves of files share.
 * Ownership: none. Context: any thread. Callbacks: none. Errors: as made here. */
#ifndef TUG_KIT_FILE_H
#define TUG_KIT_FILE_H

/* "cannot open "/x": no such file": sets the detail of the calling thread, returns the code. */
int tug__file_fail(int error, const char *what, const char *path);

#endif
