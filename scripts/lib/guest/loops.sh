# Asks about each program on each loop, and how long the machine has been up before and after.
. /guest/common.sh
up() { cut -d' ' -f1 /proc/uptime; }
for loop in asyncio uvloop; do
    for kind in convoy blocked idle; do
        began=$(up)
        start 1000 $kind $loop || exit 1
        sleep 2  # so that a wait has an age to be told
        ask "$kind, $loop" 0 dump --json "$pid"
        echo "-- times $kind, $loop: $began $(up) $tid"
        kill -9 "$pid"
    done
done
