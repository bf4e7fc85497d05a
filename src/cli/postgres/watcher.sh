# Starts the server given as arguments, and stops it when told on standard input or when the teller is gone.
#
#   a line "quit"                     → immediate shutdown, as after a crash (SIGQUIT)
#   anything else, or end of input    → fast shutdown (SIGINT), then harder and harder
#
# REMOVE, if set, names a folder to delete when the server is down.
exec 3<&0
"$@" </dev/null 3<&- &
server=$!

down_within() { # tenths of a second
    left=$1
    while kill -0 "$server" 2>/dev/null; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 0.1
    done
}

(
    order=
    read -r order <&3
    if [ "$order" != quit ]; then
        kill -INT "$server" 2>/dev/null
        down_within 100 && exit
    fi
    kill -QUIT "$server" 2>/dev/null
    down_within 50 || kill -KILL "$server" 2>/dev/null
) &
listener=$!
exec 3<&-

wait "$server"
code=$?
kill "$listener" 2>/dev/null
[ -z "$REMOVE" ] || rm -rf "$REMOVE"
exit "$code"
