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
#   initdb, pg_ctl, …, nginx, wrk, chromium
#                                     Debian packages
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

npm_clients() {
	command -v npm >/dev/null || fail "npm is missing: install Node.js 20 or later"
	local lock=$root/test/tools/package-lock.json
	local folder=$cache/npm-clients-$(cat "$lock" "${lock%-lock.json}.json" | sha256sum | cut -c1-16)
	if [ ! -d "$folder" ]; then
		# Under another name until every client has run once.
		local new=$folder.$$
		mkdir "$new"
		cp "$lock" "${lock%-lock.json}.json" "$new"
		(cd "$new" && npm ci --no-audit --no-fund --ignore-scripts=false --loglevel=error)
		"$new/node_modules/.bin/bun" --version >/dev/null || fail "bun does not run on this machine"
		"$new"/node_modules/@pnpm/exe.linux-*/pnpm --version >/dev/null || fail "pnpm does not run on this machine"
		mv -T "$new" "$folder" || [ -d "$folder" ] # another run may have been faster
	fi
	local modules=$folder/node_modules
	link bun "$modules/.bin/bun"
	link pnpm "$(echo "$modules"/@pnpm/exe.linux-*/pnpm)"
	link pnpm10 "$modules/pnpm/bin/pnpm.cjs"
	link yarn "$modules/yarn/bin/yarn.js"
	wrap yarn-berry node "$modules/@yarnpkg/cli-dist/bin/yarn.js"
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

# Where Debian packages put their programs, newest PostgreSQL last.
programs() { ls -d "$1"/usr/lib/postgresql/*/bin/{initdb,pg_ctl,postgres,psql,createdb} "$1"/usr/sbin/nginx "$1"/usr/bin/wrk "$1"/usr/lib/chromium/chromium 2>/dev/null || true; }

debian_packages() {
	local -A package=([initdb]=postgresql [nginx]=nginx-light [wrk]=wrk [chromium]=chromium)
	local missing=() program
	for program in "${!package[@]}"; do
		programs "" | grep -q "/$program\$" || missing+=("${package[$program]}")
	done
	if [ ${#missing[@]} = 0 ]; then
		link_all ""
		return
	fi
	command -v apt-get >/dev/null || fail "missing: ${missing[*]}; install PostgreSQL, nginx, wrk and Chromium with this system's package manager into /usr"
	if [ "$(id -u)" = 0 ]; then
		install_debian "${missing[@]}"
		link_all ""
	else
		extract_debian "${missing[@]}"
	fi
}

link_all() {
	local file
	for file in $(programs "$1"); do link "$(basename "$file")" "$file"; done
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
	for file in $(programs "$folder"); do
		wrap "$(basename "$file")" env LD_LIBRARY_PATH="$(echo "$folder"/usr/lib/*-linux-gnu)" "$file"
	done
}

npm_clients
browser_modules
python_clients
debian_packages

cd "$tools"
for program in initdb pg_ctl postgres psql nginx wrk chromium; do
	[ -x "$program" ] || fail "$program is not there after all"
done
printf '%-13s %s\n' \
	npm "$(npm --version)" yarn "$(./yarn --version)" yarn-berry "$(./yarn-berry --version)" \
	pnpm "$(./pnpm --version) and $(./pnpm10 --version)" bun "$(./bun --version)" \
	schemathesis "$(./schemathesis --version | awk '{print $NF}')" \
	python-gitlab "$(./python -c 'import gitlab; print(gitlab.__version__)')" \
	pip "$(./pip --version | cut -d' ' -f2)" twine "$(./twine --version | awk 'NR == 1 {print $3}')" uv "$(./uv --version | cut -d' ' -f2)" \
	poetry "$(./poetry --version | tr -dc 0-9.)" pdm "$(./pdm --version | awk '{print $NF}')" \
	postgres "$(./postgres --version | cut -d' ' -f3)" nginx "$(./nginx -v 2>&1 | cut -d/ -f2)" \
	wrk "$({ ./wrk -v || true; } 2>&1 | awk 'NR == 1 {print $2}')" \
	chromium "$(./chromium --version 2>/dev/null | awk '{print $2}')"
