# shellcheck shell=bash
# --offline BUNDLE: a tar of `ivr bundle` (manifest.json, manifest.sig, then exactly the manifest's
# files). It is opened here with openssl and tar alone, for there may be no Python yet. Nothing of it
# is used before its signature and every checksum are right.

BUNDLE=""
OPENED=/var/tmp/ivr-bundle # .PID.XXXXXX: where bundles are opened, gigabytes with models

# open_bundle FILE [KEY]
open_bundle() {
    local file=$1 named=${2:-} key=$ETC/release.pub
    [ -r "$file" ] || die "There is no bundle $file." "Name the file that \`ivr bundle\` made."
    have openssl || die "openssl is not installed, so no signature can be checked." "Install Debian's package openssl; its DVD has it."
    if [ ! -f "$key" ]; then
        [ -n "$named" ] || die "This box trusts no key for bundles yet." \
            "Name the key of whoever made the bundle, by --key FILE.pub; bring it another way than the bundle."
        key=$named
    elif [ -n "$named" ] && ! cmp -s "$named" "$key"; then
        die "$named is not the key that this box trusts ($key)." "If the key was truly changed, put the new one there by hand."
    fi
    BUNDLE_KEY=$key
    clear_opened
    BUNDLE=$(mktemp -d "$OPENED.$$.XXXXXX")
    CLEANUP+=("$BUNDLE")
    check_signature "$file" "$key"
    check_members "$file"
    tar -xf "$file" -C "$BUNDLE" --no-same-owner --no-same-permissions ||
        bundle_refused "it could not be unpacked; is there room in /var/tmp?"
    check_files
    chmod 755 "$BUNDLE" # the service's user takes models from it
}

# clear_opened: what runs that were killed have left.
clear_opened() {
    local folder pid
    for folder in "$OPENED".*; do
        pid=${folder#"$OPENED".}
        [ ! -d "$folder" ] || [ -d "/proc/${pid%%.*}" ] || rm -rf "$folder"
    done
}

bundle_refused() {
    rm -rf "$BUNDLE"
    die "The bundle is not good: $1 Nothing of it was used." "Get it again from whoever made it."
}

# The signature is Ed25519 (RFC 8032) over a context line and the manifest's bytes.
check_signature() {
    if ! tar -xOf "$1" --occurrence=1 manifest.json >"$BUNDLE/manifest.json" 2>/dev/null ||
        ! tar -xOf "$1" --occurrence=1 manifest.sig 2>/dev/null | base64 -d >"$BUNDLE/manifest.raw" 2>/dev/null; then
        bundle_refused "it does not begin with a signed manifest."
    fi
    { printf 'ivr-bundle-1\n' && cat "$BUNDLE/manifest.json"; } >"$BUNDLE/manifest.signed"
    openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in "$BUNDLE/manifest.signed" \
        -sigfile "$BUNDLE/manifest.raw" >/dev/null 2>&1 ||
        bundle_refused "it was not signed by the key $2, or was changed after it was."
    rm "$BUNDLE/manifest.signed" "$BUNDLE/manifest.raw"
    [[ $(<"$BUNDLE/manifest.json") == *'"format":1,'* ]] || bundle_refused "its format is not 1, the one that is known here."
}

# manifest_field NAME: of the manifest, whose signature is good by now.
manifest_field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$BUNDLE/manifest.json"; }

# SHA256 MEMBER PATH of each file; a long path goes by its hash in the tar.
manifest_files() {
    grep -o '{"mode":[0-9]*,"path":"[^"]*","sha256":"[0-9a-f]*","size":[0-9]*}' "$BUNDLE/manifest.json" |
        sed 's/.*"path":"\([^"]*\)","sha256":"\([0-9a-f]*\)".*/\2\t\1/' |
        awk -F '\t' '{ print $1 "\t" (length($2) > 100 ? "long/" $1 : $2) "\t" $2 }'
}

# Regular files with exactly the expected names, so that nothing in it leaves the folder.
check_members() {
    cmp -s <(printf 'manifest.json\nmanifest.sig\n' && manifest_files | cut -f 2) <(tar -tf "$1") ||
        bundle_refused "it does not hold what its manifest lists."
    [ -z "$(tar -tvf "$1" | grep -v '^-' | head -n 1)" ] || bundle_refused "it holds something else than files."
}

check_files() {
    (cd "$BUNDLE" && manifest_files | awk -F '\t' '{ print $1 "  " $2 }' | sha256sum --check --strict --quiet) >&2 ||
        bundle_refused "a file is not what was signed."
    local sum member path
    while IFS=$'\t' read -r sum member path; do
        [ "$member" != "$path" ] || continue
        mkdir -p "$BUNDLE/$(dirname "$path")"
        mv "$BUNDLE/$member" "$BUNDLE/$path" || bundle_refused "long/$sum is missing."
    done < <(manifest_files)
}

# keep_bundle_key: whoever signed the first bundle signs all that come.
keep_bundle_key() {
    [ -z "$BUNDLE" ] || [ -f "$ETC/release.pub" ] || write_file "$ETC/release.pub" 644 root:root <"$BUNDLE_KEY"
}
