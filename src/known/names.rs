//! Names of modules, for frozen programs: all files are relative there, and nothing tells whose they
//! are but the name of the first folder.

/// What lies in the folder of the standard library in 3.8 to 3.15 and is not a module of C.
const STDLIB: &str = "\
    __future__ _aix_support _android_support _apple_support _ast_unparse _bootlocale \
    _bootsubprocess _collections_abc _colorize _compat_pickle _compression _dummy_thread \
    _ios_support _markupbase _missing_stdlib_info _opcode_metadata _osx_support _py_abc \
    _py_warnings _pydatetime _pydecimal _pyio _pylong _pyrepl _sitebuiltins _strptime \
    _threading_local _weakrefset abc aifc annotationlib antigravity argparse ast asynchat asyncio \
    asyncore base64 bdb binhex bisect bz2 cProfile calendar cgi cgitb chunk cmd code codecs \
    codeop collections colorsys compileall compression concurrent configparser contextlib \
    contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis \
    distutils doctest dummy_threading email encodings ensurepip enum filecmp fileinput fnmatch \
    formatter fractions ftplib functools genericpath getopt getpass gettext glob graphlib gzip \
    hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress json \
    keyword lib2to3 linecache locale logging lzma mailbox mailcap mimetypes modulefinder \
    multiprocessing netrc nntplib ntpath nturl2path numbers opcode operator optparse os pathlib \
    pdb pickle pickletools pipes pkgutil platform plistlib poplib posixpath pprint profile \
    profiling pstats pty py_compile pyclbr pydoc pydoc_data queue quopri random re reprlib \
    rlcompleter runpy sched secrets selectors shelve shlex shutil signal site smtpd smtplib \
    sndhdr socket socketserver sqlite3 sre_compile sre_constants sre_parse ssl stat statistics \
    string stringprep struct subprocess sunau symbol symtable sysconfig tabnanny tarfile \
    telnetlib tempfile test textwrap this threading timeit tkinter token tokenize tomllib trace \
    traceback tracemalloc tty turtle turtledemo types typing unittest urllib uu uuid venv \
    warnings wave weakref webbrowser wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zoneinfo";

/// Packages that asyncio programs are made of.
const PACKAGES: &str = "\
    aio_pika aiobotocore aiofiles aiohttp aiokafka aiomysql aiormq aiosqlite aiostream anyio arq \
    asgiref async_timeout asyncpg attr attrs backoff botocore celery certifi channels \
    charset_normalizer click daphne discord django email_validator fastapi google granian grpc \
    gunicorn h11 h2 httpcore httptools httpx hypercorn idna jinja2 kombu mcp motor multidict nats \
    nest_asyncio openai opentelemetry orjson psycopg psycopg_pool pydantic pydantic_core pymongo \
    quart redis requests sanic sentry_sdk sniffio sqlalchemy starlette tenacity tornado trio \
    typing_extensions urllib3 uvicorn uvloop watchfiles websockets werkzeug wsproto yarl zmq";

/// Whether a file with a relative path is of the standard library, going by its name.
pub(super) fn is_stdlib(path: &str) -> bool {
    has(STDLIB, path)
}

/// The same for packages that many have.
pub(super) fn is_package(path: &str) -> bool {
    has(PACKAGES, path)
}

fn has(names: &str, path: &str) -> bool {
    let name = path.split('/').next().unwrap_or(path);
    let name = name.strip_suffix(".py").unwrap_or(name);
    names.split_whitespace().any(|it| it == name)
}
