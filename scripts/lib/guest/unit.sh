# Runs the library's unit tests, but for those that want what such a machine lacks: dynamic parts in
# the test's own program, a C library with tables for unwinding, a network, the kernel's module for
# asking about sockets, the folder of the sources, and the speed for 100,000 nodes.
cd /tmp
/aiospy --test-threads 1 \
    --skip elf:: --skip module:: --skip socket:: --skip source:: --skip 100_000 --skip deep \
    --skip a_thread_of_our_own_from --skip descriptors_of_ourselves --skip traffic:: \
    --skip session::saved:: 2>&1
