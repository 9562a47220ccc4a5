# What the scripts in an emulated machine share.  A cell is one line "-- NAME: exit CODE",
# and what the tool said below it, each line behind a bar.

python=/usr/bin/python$(cat /guest/version)

as() { # UID COMMAND ...
    user=$1; program=$2; shift 2
    start-stop-daemon -S -c "$user:$user" -x "$program" -- "$@"
}

start() { # UID KIND LOOP: sets $pid and $tid
    rm -f /tmp/said; touch /tmp/said; chmod 666 /tmp/said
    as "$1" "$python" /guest/program.py "$2" "$3" >/tmp/said 2>&1 &
    until grep -q READY /tmp/said; do
        if grep -q Error /tmp/said; then sed 's/^/program: /' /tmp/said; return 1; fi
        sleep 0.05
    done
    pid=$(sed -n 's/READY \([0-9]*\) .*/\1/p' /tmp/said)
    tid=$(sed -n 's/READY [0-9]* //p' /tmp/said)
}

ask() { # NAME UID COMMAND ...
    name=$1; user=$2; shift 2
    if [ "$user" = 0 ]; then /aiospy "$@" >/tmp/out 2>&1; else as "$user" /aiospy "$@" >/tmp/out 2>&1; fi
    echo "-- $name: exit $?"
    sed 's/^/| /' /tmp/out
}
