#!/bin/bash
# One push through Pushbell, and the webhook it becomes. Everything it starts listens on the loopback only, and is
# stopped by its process id; everything it writes is in target/demo, but for the CA in certs/.
set -euo pipefail
cd "$(dirname "$0")/../.."

pushbell=target/release/pushbell
demo=target/demo
rm -rf "$demo"
mkdir -p "$demo/registry" "$demo/received"

started=()
stop() {
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
}
trap stop EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || say() { printf '\n%s\n' "$1"; }
shown() { printf '  $ %s\n' "$*"; "$@" 2>&1 | sed 's/^/  /'; }
wait_for() {
    for _ in $(seq 200); do
        if "${@:2}" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    echo "waited 10 s for $1; see $demo/*.log" >&2
    exit 1
}

# Four ports that are free now.
read -r registry_port pushbell_port admin_port receiver_port < <(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(socket.getsockname()[1] for socket in sockets))
PYTHON
)
sed -e "s/REGISTRY_PORT/$registry_port/; s/PUSHBELL_PORT/$pushbell_port/" \
    -e "s/ADMIN_PORT/$admin_port/; s/RECEIVER_PORT/$receiver_port/; s|CERTS|$PWD/certs|" \
    deploy/demo/pushbell.yaml >"$demo/pushbell.yaml"
(umask 077 && python3 -c 'import base64, os; print("whsec_" + base64.b64encode(os.urandom(32)).decode())' >"$demo/secret")

say "1. A CA of our own, in certs/, and a certificate each for Pushbell and the build service"
shown "$pushbell" certs init --config "$demo/pushbell.yaml"

say "2. A registry, a build service that asks for our certificate, and Pushbell between them"
cat >"$demo/registry.yml" <<YAML
version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $demo/registry }, delete: { enabled: true } }
http: { addr: "127.0.0.1:$registry_port" }
YAML
docker-registry serve "$demo/registry.yml" >"$demo/registry.log" 2>&1 &
started+=($!)
python3 deploy/demo/receiver.py "$receiver_port" certs/ca.pem certs/receiver.pem certs/receiver.key \
    "$demo/received" >"$demo/receiver.log" 2>&1 &
started+=($!)
wait_for "the registry" curl --silent --fail "http://127.0.0.1:$registry_port/v2/"
echo "  \$ $pushbell run --config $demo/pushbell.yaml &"
"$pushbell" run --config "$demo/pushbell.yaml" >"$demo/pushbell.log" 2>&1 &
sidecar=$!
started+=("$sidecar")
wait_for "Pushbell" curl --silent --fail "http://127.0.0.1:$admin_port/readyz"
echo "  ready: https://localhost:$pushbell_port in front of http://127.0.0.1:$registry_port"

say "3. A push, as every client does it: Pushbell itself as an image"
python3 deploy/demo/image.py "$demo/image" "$pushbell" "$(git rev-parse --short HEAD 2>/dev/null || echo none)"
mkdir -p "$demo/trust"
cp certs/ca.pem "$demo/trust/ca.crt"
shown skopeo --insecure-policy copy --quiet --dest-cert-dir "$demo/trust" \
    "oci:$demo/image:1" "docker://localhost:$pushbell_port/team/app:1.4.2"

say "4. The webhook the build service got"
wait_for "the webhook" test -e "$demo/received/headers"
sed 's/^/  /' "$demo/received/headers"
echo
python3 deploy/demo/show.py "$demo/received/body"
echo "  The registry itself says: $(skopeo inspect --tls-verify=false --format '{{.Digest}}' \
    "docker://127.0.0.1:$registry_port/team/app:1.4.2")"

say "5. Is it genuine? Any Standard Webhooks library can say; so can we"
headers=()
while read -r line; do headers+=(--header "$line"); done < <(grep '^webhook-' "$demo/received/headers")
echo "  \$ $pushbell verify --scheme standard-webhooks --secret-file $demo/secret --header … <body"
"$pushbell" verify --scheme standard-webhooks --secret-file "$demo/secret" "${headers[@]}" \
    <"$demo/received/body" | sed 's/^/  /'

say "6. And it stops when asked, with nothing left undone"
kill "$sidecar"
wait "$sidecar" && echo "  Pushbell ended with exit code 0"
