/* A program that embeds Python under another name and is otherwise like `python`.

   With LIBRARY defined, that file is loaded when the program runs. */

#ifdef LIBRARY
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*python)(int, char **) = (int (*)(int, char **))dlsym(library, "Py_BytesMain");
    return python(argc, argv);
}
#else
int Py_BytesMain(int argc, char **argv);

int main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
#endif
