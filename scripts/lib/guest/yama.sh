# Asks as each user and at each scope of Yama about one program.  The scope can only be raised.
. /guest/common.sh
start 1000 convoy asyncio || exit 1
for scope in 0 1 2 3; do
    echo $scope > /proc/sys/kernel/yama/ptrace_scope
    ask "scope $scope, same user" 1000 check "$pid"
    ask "scope $scope, other user" 1001 check "$pid"
    ask "scope $scope, root" 0 check "$pid"
done
