/* A library whose functions wait for input, and one that calls back. */

#include <poll.h>

int wait_for_input(int fd)
{
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, -1) + 1;
}

int wait_inside(int fd)
{
    return wait_for_input(fd) * 2;
}

int call_back(int (*function)(int), int fd)
{
    return function(fd) + 1;
}
