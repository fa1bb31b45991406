# certificates.sh: certificates for servers and clients on 127.0.0.1.  Sourced.

# certificates_sign NAME SUBJECT CA: NAME.key, and NAME.crt signed by CA.
certificates_sign() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null ||
        return 1
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 2 -extfile names.cnf -out "$1.crt" 2>/dev/null
}

# certificates_make DIRECTORY: ca, and by it server and client (the user app); foreign, a CA that nobody
# trusts, and by it stranger.  server.pem is key and chain in one, as Java wants it.
certificates_make() (
    mkdir -p "$1" && cd "$1" || exit 1
    echo 'subjectAltName = IP:127.0.0.1, DNS:localhost' >names.cnf
    for name in ca foreign; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" \
            -keyout "$name.key" -out "$name.crt" 2>/dev/null || exit 1
    done
    certificates_sign server /CN=server ca && certificates_sign client /CN=app ca && certificates_sign stranger /CN=app foreign || exit 1
    cat server.key server.crt ca.crt >server.pem
    # The client is the server's user, and a key is nobody else's.
    [ "$(id -u)" != 0 ] || chown postgres client.key stranger.key
    chmod 755 .
)
