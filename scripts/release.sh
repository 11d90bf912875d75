#!/bin/bash
# Builds what a release consists of, into dist: a static binary for each
# system, Debian packages and checksums. The same commit gives the same bytes,
# whoever builds it with the same version of Go.
set -euo pipefail

version=${1:?usage: release.sh VERSION}
root=$(cd "$(dirname "$0")/.." && pwd)
dist=$root/dist
most=$((40 * 1000 * 1000)) # bytes of a binary
cd "$root"
export CGO_ENABLED=0 SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)

fail() { echo "release: $*" >&2; exit 1; }

command -v dpkg-deb >/dev/null || fail "dpkg-deb is missing"
rm -rf "$dist"
mkdir -p "$dist"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for system in linux darwin windows; do
	for machine in amd64 arm64; do
		file=$dist/packhouse-$version-$system-$machine
		[ $system != windows ] || file+=.exe
		GOOS=$system GOARCH=$machine go build -trimpath -buildvcs=true -ldflags "-s -w -buildid= -X main.version=$version" -o "$file" ./cmd/packhouse
		[ "$(stat -c %s "$file")" -lt $most ] || fail "$file has $(stat -c %s "$file") bytes, over $most"
	done
done

# A Debian version begins with a digit.
debian=${version#v}
[[ $debian == [0-9]* ]] || debian=0~$debian
for machine in amd64 arm64; do
	package=$work/$machine
	install -D -m 755 "$dist/packhouse-$version-linux-$machine" "$package/usr/bin/packhouse"
	install -D -m 644 deploy/systemd/packhouse.service "$package/lib/systemd/system/packhouse.service"
	install -D -m 640 deploy/systemd/packhouse.env "$package/etc/packhouse/packhouse.env"
	install -D -m 644 README.md "$package/usr/share/doc/packhouse/README.md"
	install -m 644 -t "$package/usr/share/doc/packhouse" docs/operations.md docs/reliability.md
	mkdir "$package/DEBIAN"
	cat >"$package/DEBIAN/control" <<-END
		Package: packhouse
		Version: ${debian//-/+}
		Architecture: $machine
		Maintainer: Packhouse <packhouse@example.com>
		Installed-Size: $(du -sk "$package" | cut -f1)
		Section: net
		Priority: optional
		Suggests: postgresql, nginx
		Description: package registry server
		 Speaks the native protocols of npm, PyPI, NuGet and their clients, and the
		 part of GitLab's REST API around them, in one program. Keeps everything in
		 SQLite and a folder, or in PostgreSQL and an S3 bucket.
	END
	echo /etc/packhouse/packhouse.env >"$package/DEBIAN/conffiles"
	cat >"$package/DEBIAN/postinst" <<-'END'
		#!/bin/sh
		set -e
		if [ -d /run/systemd/system ]; then
			systemctl daemon-reload
			# A server that runs goes on with the new program.
			systemctl try-restart packhouse.service
		fi
	END
	cat >"$package/DEBIAN/prerm" <<-'END'
		#!/bin/sh
		set -e
		if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
			systemctl disable --now packhouse.service
		fi
	END
	chmod 755 "$package/DEBIAN/postinst" "$package/DEBIAN/prerm"
	find "$package" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	dpkg-deb --root-owner-group -Zxz --build "$package" "$dist/packhouse_${debian//-/+}_$machine.deb" >/dev/null
done

cd "$dist"
sha256sum -- * >SHA256SUMS.new
mv SHA256SUMS.new SHA256SUMS
cat SHA256SUMS
