#!/usr/bin/env bash
# curl as legacy scripts use it: curl.sh BASE KEY
set -euo pipefail
base=$1 key=$2
is() { [ "$2" = "$3" ] || { echo "$1: got '$2', expected '$3'" >&2; exit 1; }; }

is get "$(curl -sS --fail -u "$key:" "$base/v2/employees?a=1&b=%20")" '{"method":"GET","target":"/v2/employees?a=1&b=%20","size":0}'
is post "$(curl -sS --fail -H "Authorization: Bearer $key" -d 0123456789 "$base/v1/vendors:search")" \
  '{"method":"POST","target":"/v1/vendors:search","size":10}'
head -c 2000000 /dev/zero | curl -sS --fail -H "Authorization: Bearer $key" -H 'Transfer-Encoding: chunked' -T - -X POST \
  "$base/v1/vendors:search" -o /dev/null
is refused "$(curl -sS -o /dev/null -w '%{http_code} %header{pleo-gateway-error}' -u "anyone:$key" "$base/v9/nothing")" '403 route-denied'
is pleos "$(curl -sS -o /dev/null -w '%{http_code} %header{pleo-gateway-error}' -u "$key:" "$base/v2/employees/404")" '404 '
urls=(); for n in $(seq 40); do urls+=("$base/v2/employees?n=$n" -o /dev/null); done
is parallel "$(curl -sS --parallel --parallel-max 10 -u "$key:" -w '%{http_code}\n' "${urls[@]}" | sort | uniq -c | tr -s ' ')" ' 40 200'
echo ok
