#!/bin/sh
# Makes a throw-away CA, a server certificate and a client certificate, for trying TLS on this machine.
#
#   certs/make-local-ca.sh [NAME…]      NAME: further DNS names or IP addresses of the server
#
# They go to certs/local/, which git ignores. Nothing there is fit for anything but a trial.
set -eu
umask 077

days=30
out=$(dirname "$0")/local
if [ -e "$out" ]; then
    echo "$out exists: remove it first (whoever trusts its CA has to trust the new one)" >&2
    exit 73
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log

names=DNS:localhost,IP:127.0.0.1,IP:::1
for name in "$@"; do
    case $name in
        *[!A-Za-z0-9.:*-]*) echo "$name is neither a name nor an address" >&2; exit 64 ;;
        *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names=$names,IP:$name ;;
        *) names=$names,DNS:$name ;;
    esac
done

run() { openssl "$@" >>"$log" 2>&1 || { cat "$log" >&2; exit 1; }; }
new_key() { run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1"; }

# issue FILE SUBJECT EXTENSIONS
issue() {
    new_key "$1-key.pem"
    printf '%s\n' "basicConstraints = critical, CA:FALSE" "keyUsage = critical, digitalSignature" \
        "authorityKeyIdentifier = keyid" "$3" >"$work/$1.ext"
    run req -new -key "$work/$1-key.pem" -subj "/CN=$2" -out "$work/$1.csr"
    run x509 -req -in "$work/$1.csr" -CA "$work/ca.pem" -CAkey "$work/ca-key.pem" -CAcreateserial \
        -days "$days" -extfile "$work/$1.ext" -out "$work/$1.pem"
}

new_key ca-key.pem
run req -x509 -new -key "$work/ca-key.pem" -days "$days" -subj "/CN=pleo-gateway throw-away CA" \
    -addext "basicConstraints = critical, CA:TRUE, pathlen:0" -addext "keyUsage = critical, keyCertSign" \
    -out "$work/ca.pem"
issue server "pleo-gateway trial" "extendedKeyUsage = serverAuth
subjectAltName = $names"
issue client "erp trial" "extendedKeyUsage = clientAuth
subjectAltName = DNS:erp.internal"

# The CA's key is not kept: nobody can make more certificates of it.
mkdir -p "$out"
for file in ca.pem server.pem server-key.pem client.pem client-key.pem; do
    mv "$work/$file" "$out/$file"
done
chmod 644 "$out"/ca.pem "$out"/server.pem "$out"/client.pem
echo "$out: good for $days days, for $names"
