#!/bin/sh
# Follow alerts and show the flags of each customer, with nothing but redis-cli:
#   sh examples/follow_alerts.sh redis://localhost:6379 [PREFIX]      (or `-s SOCKET` in the place of the URL)
# Arguments that redis-cli takes for a server may be given in REDIS_CLI, such as REDIS_CLI="redis-cli --tls --cacert ca.pem".
set -u
where=$1
prefix=${2:-risk:}
case $where in
    *://*) at="-u $where" ;;
    *) at="-s $where" ;;
esac
ask() { ${REDIS_CLI:-redis-cli} $at --raw "$@"; }

# The part of a key that is a customer: every byte but A-Za-z0-9_.~@:- as %XX.
encode() {
    { printf %s "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' '\n'; echo; } | while read -r byte; do
        case $byte in
            '') ;;
            3[0-9a] | 4[0-9a-f] | 5[0-9af] | 6[1-9a-f] | 7[0-9ae] | 2[de]) printf "\\$(printf %03o "0x$byte")" ;;
            *) printf '%%%s' "$(echo "$byte" | tr a-f A-F)" ;;
        esac
    done
}

# One field of the public line, which is JSON without blanks. Texts with a quote in them need a reader of JSON, such as jq.
field() { printf '%s\n' "$2" | sed -n "s/^.*\"$1\":\"\([^\"]*\)\".*\$/\1/p"; }

last=$(ask XREVRANGE "${prefix}alerts" + - COUNT 1 | head -n 1)
last=${last:-0}
echo following
while :; do
    # Each value stands on its own line: the stream's name, the entry's id, then field after field.
    answer=$(ask XREAD COUNT 1 BLOCK 2000 STREAMS "${prefix}alerts" "$last") || { sleep 1; continue; }
    [ -n "$answer" ] || continue
    last=$(printf '%s\n' "$answer" | sed -n 2p)
    line=$(printf '%s\n' "$answer" | sed -n '/^line$/{n;p;q;}')
    held=$(printf '%s\n' "$answer" | sed -n '/^held$/{n;p;q;}')
    [ -z "$held" ] || continue
    customer=$(field customer_id "$line")
    echo "$(field op "$line") $(field flag "$line") $customer"
    meta=$(ask HGETALL "${prefix}meta")
    id=$(encode "$customer")
    lane=$(ask HGET "${prefix}customer:$id" lane)
    watermark=$(printf '%s\n' "$meta" | sed -n "/^watermark:$lane\$/{n;p;q;}")
    # A flag: [since, until or null, count, severity, alert id]; up while the watermark is not past `until`.
    ask HGETALL "${prefix}flags:$id" | while read -r name && read -r value; do
        until=$(echo "$value" | tr -d '[]"' | cut -d, -f2)
        severity=$(echo "$value" | tr -d '[]"' | cut -d, -f4)
        since=$(echo "$value" | tr -d '[]"' | cut -d, -f1)
        state=unknown
        if [ "$until" = null ]; then state=up; elif [ -n "$watermark" ]; then
            if [ "$watermark" -le "$until" ]; then state=up; else state=down; fi
        fi
        echo "  $name $severity since $since $state"
    done
done
