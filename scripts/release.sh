#!/bin/bash
# Builds what a release consists of, into dist: a static binary for each
# system, Debian packages and checksums. The same commit gives the same bytes,
# whoever builds it with the same version of Go; at the end one system is built
# again, in another folder and from nothing, and compared.
#
# With systems on the command line (linux/amd64 …) it builds only these, and
# compares nothing. DIST is another folder than dist.
set -euo pipefail
umask 022

version=${1:?usage: release.sh VERSION [SYSTEM/MACHINE]...}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
dist=$(realpath -m "${DIST:-$root/dist}")
most=$((40 * 1000 * 1000)) # bytes of a binary
cd "$root"
# Nothing of whoever builds it may show: neither their flags nor what tags their clone has.
export CGO_ENABLED=0 GOFLAGS= GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0 LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
commit=$(git rev-parse HEAD)

fail() { echo "release: $*" >&2; exit 1; }

# binary SYSTEM MACHINE builds a binary and tells its file.
binary() {
	local file=$dist/packhouse-$version-$1-$2
	[ "$1" != windows ] || file+=.exe
	GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "$file" ./cmd/packhouse
	local size
	size=$(stat -c %s "$file")
	[ "$size" -lt $most ] || fail "$file has $size bytes, over $most"
	echo "$file"
}

# licenses tells under which terms the parts of the program come.
licenses() {
	local path version folder text
	printf 'Packhouse: copyright its authors.\n\nThe program contains the Go standard library and the modules below, each under its own terms.\n'
	{
		printf 'Go\t%s\t%s\n' "$(go env GOVERSION)" "$(go env GOROOT)"
		GOOS=linux GOARCH=amd64 go list -deps -f '{{with .Module}}{{if .Version}}{{.Path}}{{"\t"}}{{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}' ./cmd/packhouse | sort -u
	} | while IFS=$'\t' read -r path version folder; do
		printf '\n%s\n%s %s\n%s\n\n' "$(printf '=%.0s' {1..79})" "$path" "$version" "$(printf '=%.0s' {1..79})"
		local found=
		for text in "$folder"/{LICENSE,LICENCE,COPYING,NOTICE}{,.txt,.md}; do
			[ ! -f "$text" ] || { found=1; cat "$text"; }
		done
		[ -n "$found" ] || fail "$path has no license in $folder"
	done
}

# debian MACHINE BINARY makes the package of a binary.
debian() {
	local machine=$1 package=$work/$1 number=${version#v} file
	[[ $number == [0-9]* ]] || number=0~$number # a Debian version begins with a digit
	number=${number//-/+}
	install -D -m 755 "$2" "$package/usr/bin/packhouse"
	install -D -m 644 deploy/systemd/packhouse.service "$package/lib/systemd/system/packhouse.service"
	install -D -m 640 deploy/systemd/packhouse.env "$package/etc/packhouse/packhouse.env"
	install -D -m 644 README.md "$package/usr/share/doc/packhouse/README.md"
	install -m 644 -t "$package/usr/share/doc/packhouse" docs/operations.md docs/reliability.md
	printf 'packhouse (%s) stable; urgency=medium\n\n  * Commit %s.\n\n -- Packhouse <packhouse@example.com>  %s\n' \
		"$number" "$commit" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$package/usr/share/doc/packhouse/changelog.gz"
	install -m 644 "$work/copyright" "$package/usr/share/doc/packhouse/copyright"
	install -D -m 644 deploy/debian/lintian-overrides "$package/usr/share/lintian/overrides/packhouse"
	mkdir "$package/DEBIAN"
	# Sizes of files, not of the blocks that they have on this disk.
	cat >"$package/DEBIAN/control" <<-END
		Package: packhouse
		Version: $number
		Architecture: $machine
		Maintainer: Packhouse <packhouse@example.com>
		Installed-Size: $(find "$package" -type f -printf '%s\n' | awk '{n += int(($1 + 1023) / 1024)} END {print n}')
		Section: net
		Priority: optional
		Recommends: ca-certificates, git
		Suggests: postgresql, nginx
		Description: package registry server
		 Speaks the native protocols of npm, PyPI, NuGet and their clients, and the
		 part of GitLab's REST API around them, in one program. Keeps everything in
		 SQLite and a folder, or in PostgreSQL and an S3 bucket.
	END
	echo /etc/packhouse/packhouse.env >"$package/DEBIAN/conffiles"
	install -m 755 -t "$package/DEBIAN" deploy/debian/{postinst,prerm,postrm}
	(cd "$package" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
	find "$package" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	# One thread: more would cut the archive into other pieces.
	file=$dist/packhouse_${number}_$machine.deb
	dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$package" "$file" >/dev/null
}

command -v dpkg-deb >/dev/null || fail "dpkg-deb is missing"
rm -rf "$dist"
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

licenses >"$work/copyright"
systems=("$@")
[ $# -gt 0 ] || systems=({linux,darwin,windows}/{amd64,arm64})
for system in "${systems[@]}"; do
	file=$(binary "${system%/*}" "${system#*/}")
	[ "${system%/*}" != linux ] || debian "${system#*/}" "$file"
done
(cd "$dist" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" . && cat SHA256SUMS)

if [ $# -gt 0 ]; then
	exit
elif [ -n "$(git status --porcelain)" ]; then
	echo "release: not built twice, since there are changes that no commit has" >&2
	exit
fi
git clone -q "$root" "$work/again"
git -C "$work/again" checkout -q "$commit"
(umask 077 && TZ=Asia/Tokyo DIST=$work/dist GOCACHE=$work/cache "$work/again/scripts/release.sh" "$version" linux/amd64) >/dev/null
(cd "$work/dist" && sha256sum --quiet --ignore-missing --check "$dist/SHA256SUMS") || fail "linux/amd64 came out differently the second time"
[ "$(ls "$work/dist" | wc -l)" = 3 ] || fail "nothing was built the second time"
echo "release: linux/amd64 came out the same in another folder and from nothing"
