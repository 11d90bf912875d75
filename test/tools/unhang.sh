#!/bin/bash
# unhang.sh COMMAND… runs a program of Mono. Mono 6.8, where it is busy, now and then does all that it was told and never exits:
# one that has used no processor for some time is ended. Its exit status is lost then; nuget writes to standard error when it
# has failed, and only then.
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
"$@" <&0 2> >(tee "$errors" >&2) &
pid=$!
trap 'kill -TERM $pid 2>/dev/null' TERM INT
used=-1 idle=0
(
	while sleep 1; do
		now=$(awk '{print $14 + $15}' "/proc/$pid/stat" 2>/dev/null) || exit
		if [ "$now" -gt "$((used + 2))" ]; then used=$now idle=0; else idle=$((idle + 1)); fi
		[ $idle -lt 30 ] || { echo hung >"$errors.hung"; kill -9 $pid; exit; }
	done
) 2>/dev/null >/dev/null &
watch=$!
wait $pid
status=$?
kill $watch 2>/dev/null
wait $watch 2>/dev/null
if [ -e "$errors.hung" ]; then
	rm -f "$errors.hung"
	[ -s "$errors" ] && exit 1
	exit 0
fi
exit $status
