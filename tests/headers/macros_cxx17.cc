#include "macros.inc"

int main(void)
{
    check_all();
    return 0;
}
