#!/bin/bash
# Installs what the tests and the benchmark drive and this machine lacks:
#
#   yarn (1), yarn-berry, pnpm (12, the native one), pnpm10, bun
#                                     pinned by test/tools/package-lock.json
#   schemathesis, python-gitlab (its program gitlab)
#   pip, twine, uv, poetry, pdm, build
#                                     pinned by test/tools/requirements.txt and packagers.txt
#   browser-modules (playwright-core, axe-core)
#                                     pinned by test/web/package-lock.json
#   nuget (5.8, from the npm registry), renovate
#                                     pinned by test/tools/package-lock.json and renovate/package-lock.json
#   versitygw                         an S3 server, pinned by test/tools/s3/go.mod
#   nuget2 (2.8) and the part of Mono that both run on, php, composer,
#   initdb, pg_ctl, …, nginx, wrk, chromium, ip (for root, who may make
#   network namespaces)               Debian packages
#   composer-next                     Composer of the Debian release after this one
#
# and, as "tools.sh bench", only what the benchmark runs beside Packhouse:
#
#   verdaccio                         pinned by test/tools/peers/package-lock.json
#   devpi-server, devpi-init, pypi-server
#                                     pinned by test/tools/peers/requirements.txt
#
# The files go to a cache folder outside the tree; bin/tools gets one link (or
# wrapper) for each program, and that is where tests look for them. Nothing
# that is there already is installed again.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${PACKHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/packhouse}
tools=$root/bin/tools
mkdir -p "$cache" "$tools"
cache=$(cd "$cache" && pwd)

policy= # of install_debian
trap 'rm -rf "$cache"/*.$$ "$tools"/.*.$$ $policy' EXIT

fail() { echo "tools: $*" >&2; exit 1; }

# link NAME TARGET, by a rename: a test may be using the old link.
link() { ln -s "$2" "$tools/.$1.$$" && mv -T "$tools/.$1.$$" "$tools/$1"; }

# wrap NAME COMMAND… is a script that runs the command with its own arguments.
wrap() {
	local name=$1; shift
	printf '#!/bin/bash\nexec %s"$@"\n' "$(printf '%q ' "$@")" >"$tools/.$name.$$"
	chmod +x "$tools/.$name.$$"
	mv -T "$tools/.$name.$$" "$tools/$name"
}

# npm_modules NAME LOCK CHECK FLAG… makes the folder $modules of what a lock names, in which CHECK, a command, must run.
npm_modules() {
	local name=$1 lock=$root/test/tools/$2 check=$3; shift 3
	local folder
	folder=$cache/$name-$(cat "$lock" "${lock%-lock.json}.json" | sha256sum | cut -c1-16)
	if [ ! -d "$folder" ]; then
		# Under another name until every client has run once.
		local new=$folder.$$
		mkdir "$new"
		cp "$lock" "${lock%-lock.json}.json" "$new"
		(cd "$new" && npm ci --no-audit --no-fund --loglevel=error "$@")
		(cd "$new/node_modules" && eval "$check") >/dev/null 2>&1 || fail "what test/tools/$lock names does not run on this machine: $check"
		mv -T "$new" "$folder" || [ -d "$folder" ] # another run may have been faster
	fi
	modules=$folder/node_modules
}

npm_clients() {
	command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later"
	local modules
	npm_modules npm-clients package-lock.json '.bin/bun --version && @pnpm/exe.linux-*/pnpm --version' --ignore-scripts=false
	link bun "$modules/.bin/bun"
	link pnpm "$(echo "$modules"/@pnpm/exe.linux-*/pnpm)"
	link pnpm10 "$modules/pnpm/bin/pnpm.cjs"
	link yarn "$modules/yarn/bin/yarn.js"
	wrap yarn-berry node "$modules/@yarnpkg/cli-dist/bin/yarn.js"
	wrap nuget "$root/test/tools/unhang.sh" "$tools/mono" "$modules"/nuget-exe/nuget-*.exe
	# Without what renovate compiles or downloads for itself: it does without.
	npm_modules renovate renovate/package-lock.json '.bin/renovate --version' --ignore-scripts --omit=optional
	link renovate "$modules/.bin/renovate"
}

# What the tests of the pages drive the browser with.
browser_modules() {
	local lock=$root/test/web/package-lock.json
	local folder=$cache/browser-modules-$(cat "$lock" "${lock%-lock.json}.json" | sha256sum | cut -c1-16)
	if [ ! -d "$folder" ]; then
		local new=$folder.$$
		mkdir "$new"
		cp "$lock" "${lock%-lock.json}.json" "$new"
		(cd "$new" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error && node -e 'require("playwright-core"); require("axe-core")')
		mv -T "$new" "$folder" || [ -d "$folder" ]
	fi
	link browser-modules "$folder/node_modules"
}

# environment NAME PINS CHECK makes the virtual environment $folder, in which CHECK, a Python statement, must run.
environment() {
	local pins=$root/test/tools/$2
	folder=$cache/$1-$({ python3 -VV; cat "$pins"; } | sha256sum | cut -c1-16)
	if [ ! -e "$folder/complete" ]; then
		# An environment cannot be moved, so it is made in its place, by one run at a time.
		exec {lock}>"$folder.lock"
		flock "$lock"
		if [ ! -e "$folder/complete" ]; then
			rm -rf "$folder"
			python3 -m venv "$folder"
			"$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$pins"
			"$folder/bin/python" -c "$3" || fail "what test/tools/$2 names does not run on this machine"
			touch "$folder/complete"
		fi
		exec {lock}>&-
	fi
}

# What tests drive the API with, and the package managers: their dependencies do not go together.
python_clients() {
	command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or later"
	python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || fail "$(python3 --version) with its module venv is needed as 3.11 or later"
	local folder program
	environment python-clients requirements.txt 'import gitlab, schemathesis'
	wrap python "$folder/bin/python" # by a link it would not find its environment
	link gitlab "$folder/bin/gitlab"
	link schemathesis "$folder/bin/schemathesis"
	environment python-packagers packagers.txt 'import build, hatchling, pypi_simple, setuptools'
	wrap python-packaging "$folder/bin/python"
	for program in pip twine uv poetry pdm pyproject-build; do link "$program" "$folder/bin/$program"; done
}

# The S3 server is a Go program with many dependencies, so it has a module of its own.
s3_server() {
	local module=$root/test/tools/s3
	local folder=$cache/s3-server-$({ go env GOVERSION; cat "$module/go.mod" "$module/go.sum"; } | sha256sum | cut -c1-16)
	if [ ! -d "$folder" ]; then
		local new=$folder.$$
		mkdir "$new"
		CGO_ENABLED=0 go -C "$module" build -trimpath -ldflags "-s -w" -o "$new/versitygw" github.com/versity/versitygw/cmd/versitygw
		"$new/versitygw" --version >/dev/null || fail "versitygw does not run on this machine"
		mv -T "$new" "$folder" || [ -d "$folder" ]
	fi
	link versitygw "$folder/versitygw"
}

# What is looked for of the Debian packages in a folder, newest PostgreSQL last. Of Mono, Debian's nuget brings along
# what it needs itself; the three assemblies are nuget 5.8's.
programs() {
	ls -d "$1"/usr/lib/postgresql/*/bin/{initdb,pg_ctl,postgres,psql,createdb} "$1"/usr/sbin/nginx "$1"/usr/bin/{wrk,mono,composer} "$1"/usr/lib/chromium/chromium \
		"$1"/usr/lib/nuget/NuGet.exe "$1"/usr/lib/mono/4.5/{System.IO.Compression,System.Net.Http,Microsoft.Build.Utilities.v4.0}.dll 2>/dev/null || true
}
php_of() { ls -d "$1"/usr/bin/php[0-9]* 2>/dev/null | tail -1; }

debian_packages() {
	local -A package=([initdb]=postgresql [nginx]=nginx-light [wrk]=wrk [composer]=composer [chromium]=chromium [NuGet.exe]=nuget
		[System.IO.Compression.dll]=libmono-system-io-compression4.0-cil [System.Net.Http.dll]=libmono-system-net-http4.0-cil
		[Microsoft.Build.Utilities.v4.0.dll]=libmono-microsoft-build-utilities-v4.0-4.0-cil)
	local missing=() program
	for program in "${!package[@]}"; do
		programs "" | grep -q "/$program\$" || missing+=("${package[$program]}")
	done
	[ -n "$(php_of "")" ] && php -r 'exit(extension_loaded("zip") && extension_loaded("curl") ? 0 : 1);' 2>/dev/null || missing+=(php-cli php-zip php-curl)
	[ "$(id -u)" != 0 ] || command -v ip >/dev/null || missing+=(iproute2)
	if [ ${#missing[@]} = 0 ]; then
		link_all ""
		return
	fi
	command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install PostgreSQL, nginx, wrk, Chromium, nuget with Mono, and Composer and PHP with zip and curl with this system's package manager into /usr"
	if [ "$(id -u)" = 0 ]; then
		install_debian "${missing[@]}"
		link_all ""
	else
		extract_debian "${missing[@]}"
	fi
}

# link_all FOLDER [COMMAND…] links the programs of a folder, or wraps them in a command.
link_all() {
	local folder=$1 file; shift
	for file in $(programs "$folder"); do
		case $file in
		*.dll) ;;
		*.exe) wrap nuget2 "$root/test/tools/unhang.sh" "$tools/mono" "$file" ;;
		*) if [ $# = 0 ]; then link "$(basename "$file")" "$file"; else wrap "$(basename "$file")" "$@" "$file"; fi ;;
		esac
	done
	[ -n "$folder" ] || [ -z "$(php_of "")" ] || link php "$(php_of "")"
}

# Only the programs are wanted: no service is started, now or at the next boot.
install_debian() {
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
	local service
	for service in postgresql nginx; do
		[[ " $* " == *" $service"* ]] && systemctl disable --now "$service" >/dev/null 2>&1 || true
	done
}

# Without root: the packages and what they depend on, unpacked into the cache.
extract_debian() {
	local folder=$cache/debian file
	if [ -n "$(comm -23 <(printf '%s\n' "$@" | sort) <(sort "$folder/packages" 2>/dev/null))" ]; then
		local new=$folder.$$ needed
		needed=$(apt-get --simulate --no-install-recommends install "$@" | awk '$1 == "Inst" {print $2}') ||
			fail "apt-get knows no way to install $*; run 'apt-get update' as root, or install them"
		mkdir "$new"
		cd "$new"
		apt-get download -q $needed
		for file in *.deb; do
			dpkg -x "$file" .
			rm "$file"
		done
		printf '%s\n' "$@" >packages
		rm -rf "$folder"
		mv -T "$new" "$folder"
	fi
	link_all ""
	link_all "$folder" env LD_LIBRARY_PATH="$(echo "$folder"/usr/lib/*-linux-gnu):$folder/usr/lib" MONO_CFG_DIR="$folder/etc"
	local php
	php=$(php_of "$folder")
	if [ -n "$php" ]; then
		# Its modules are switched on by scripts of the packages, which did not run.
		{
			echo "extension_dir=$(echo "$folder"/usr/lib/php/2*)"
			echo "include_path=.:$folder/usr/share/php"
			for file in "$folder"/usr/lib/php/2*/*.so; do
				case $(basename "$file" .so) in opcache | ffi) ;; *) echo "extension=$(basename "$file")" ;; esac
			done
		} >"$folder/php.ini"
		wrap php env LD_LIBRARY_PATH="$(echo "$folder"/usr/lib/*-linux-gnu)" PHP_INI_SCAN_DIR= "$php" -c "$folder/php.ini"
		[ ! -e "$folder/usr/bin/composer" ] || wrap composer "$tools/php" "$folder/usr/bin/composer"
	fi
}

# The Composer of the next Debian release, which runs on this one's PHP, unpacked into the cache. Where this release is not
# one that has a next, there is none, and the tests do with the one.
next_composer() {
	local next folder=$cache/composer-next-2 new site suite
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	case $suite in bookworm) next=trixie ;; *) return ;; esac
	if [ ! -d "$folder" ]; then
		site=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' | awk -v s="$suite" '$2 == s {print $1; exit}')
		[ -n "$site" ] || fail "no Debian mirror is configured"
		new=$folder.$$
		mkdir -p "$new"/apt/{state/lists/partial,cache/archives/partial}
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $next main" >"$new/apt/list"
		local apt=(-qq -o Dir::State="$new/apt/state" -o Dir::Cache="$new/apt/cache" -o Dir::Etc::SourceList="$new/apt/list" -o Dir::Etc::SourceParts=/dev/null
			-o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
		apt-get "${apt[@]}" update
		# Only what is written in PHP itself.
		local needed
		needed=$(apt-get "${apt[@]}" --simulate --no-install-recommends install composer | awk '$1 == "Inst" {print $2}' |
			grep -E '^(composer|jsonlint|php-(composer|symfony|psr|react|json-schema|seld|enum).*)$')
		(cd "$new" && apt-get "${apt[@]}" download $needed && for file in *.deb; do dpkg -x "$file" . && rm "$file"; done)
		rm -rf "$new/apt"
		# Its files name each other by where they would be installed.
		grep -rlZ "'/usr/share/" "$new" --include=*.php | xargs -0 -r sed -i "s|'/usr/share/|'$folder/usr/share/|g"
		mv -T "$new" "$folder" || [ -d "$folder" ]
	fi
	wrap composer-next "$tools/php" -d include_path=".:$folder/usr/share/php" "$folder/usr/bin/composer"
	COMPOSER_ALLOW_SUPERUSER=1 "$tools/composer-next" --version >/dev/null || fail "the newer Composer does not run on this machine"
}

# The servers that the benchmark runs beside Packhouse.
peers() {
	command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later"
	command -v python3 >/dev/null || fail "python3 is missing: install Python 3.11 or later"
	local modules folder program
	npm_modules peers peers/package-lock.json '.bin/verdaccio --version' --ignore-scripts --omit=optional
	link verdaccio "$modules/.bin/verdaccio"
	environment python-peers peers/requirements.txt 'import devpi_server, pypiserver, waitress, watchdog'
	for program in devpi-server devpi-init pypi-server; do link "$program" "$folder/bin/$program"; done
}

composer_version() { COMPOSER_ALLOW_SUPERUSER=1 "$1" --version --no-ansi 2>/dev/null | awk '/^Composer/ {print $3; exit}'; }

if [ "${1:-}" = bench ]; then
	peers
	exit
fi
npm_clients
browser_modules
python_clients
s3_server
debian_packages
next_composer
command -v git >/dev/null || fail "git is missing"

cd "$tools"
for program in initdb pg_ctl postgres psql nginx wrk mono nuget2 php composer versitygw chromium; do
	[ -x "$program" ] || fail "$program is not there after all"
done
# Only the first line: without a terminal nuget 2.8 never comes to the end of its help.
nuget_version() { { "./$1" help || true; } 2>/dev/null | awk '{if ($1 == "NuGet") print $3; exit}'; }
for program in nuget nuget2; do
	[ -n "$(nuget_version $program)" ] || fail "$program does not run on this machine"
done
printf '%-13s %s\n' \
	npm "$(npm --version)" yarn "$(./yarn --version)" yarn-berry "$(./yarn-berry --version)" \
	pnpm "$(./pnpm --version) and $(./pnpm10 --version)" bun "$(./bun --version)" \
	schemathesis "$(./schemathesis --version | awk '{print $NF}')" \
	python-gitlab "$(./python -c 'import gitlab; print(gitlab.__version__)')" \
	pip "$(./pip --version | cut -d' ' -f2)" twine "$(./twine --version | awk 'NR == 1 {print $3}')" uv "$(./uv --version | cut -d' ' -f2)" \
	poetry "$(./poetry --version | tr -dc 0-9.)" pdm "$(./pdm --version | awk '{print $NF}')" \
	nuget "$(nuget_version nuget) and $(nuget_version nuget2)" renovate "$(RENOVATE_X_IGNORE_RE2=true ./renovate --version)" \
	postgres "$(./postgres --version | cut -d' ' -f3)" nginx "$(./nginx -v 2>&1 | cut -d/ -f2)" \
	git "$(git --version | awk '{print $3}')" php "$(./php -r 'echo PHP_VERSION;')" composer "$(composer_version ./composer)$([ ! -x composer-next ] || echo " and $(composer_version ./composer-next)")" \
	versitygw "$(awk '/versitygw v/ {print $NF == "indirect" ? $2 : $NF; exit}' "$root/test/tools/s3/go.mod")" \
	wrk "$({ ./wrk -v || true; } 2>&1 | awk 'NR == 1 {print $2}')" \
	chromium "$(./chromium --version 2>/dev/null | awk '{print $2}')"
