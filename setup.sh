#!/usr/bin/env bash
# Make .venv, with everything that signseq needs to run and to be tested.
#
#   bash setup.sh                     the first of python3.11, 3.12, 3.13 and python3 that will do
#   PYTHON=python3.12 bash setup.sh   this interpreter
#
# Running it again is quick while nothing has changed, goes on after an interruption, and follows
# a change of requirements.txt or pyproject.toml. Which index pip asks, and so which build of torch
# it gets, is up to pip's own settings (PIP_INDEX_URL and its kin).
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
cd -- "$root"

venv="$root/.venv"
python="$venv/bin/python"
state_file="$venv/.signseq-setup" # what was installed; its being there says that .venv is ours
is_supported='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

# Compiled once here, or every start would parse thousands of files again.
unset PYTHONDONTWRITEBYTECODE PIP_NO_COMPILE
# Where these are set, the new environment would look for its packages elsewhere.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*"; }
fail() {
    printf 'setup.sh: %s\n' "$@" >&2
    exit 1
}

version_of() { "$1" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
supported() { "$1" -I -S -c "$is_supported" 2>/dev/null; }
makes_venvs() { "$1" -I -c 'import ensurepip, venv' 2>/dev/null; }

fail_without_venv() { # for an interpreter that lacks the module; returns if that could be mended
    local version
    version="$(version_of "$1")"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -z "${tried_apt:-}" ]; then
        tried_apt=yes # root on Debian or Ubuntu, a container most likely: do it, and say so
        say "Set-up: $1 lacks its venv module; installing python$version-venv with apt-get ..."
        { apt-get -qq update && apt-get -qq -y install "python$version-venv"; } >/dev/null || true
        if makes_venvs "$1"; then
            base="$1"
            return
        fi
    fi
    fail "$1 (Python $version) can't make virtual environments: its venv or ensurepip is missing." \
        "On Debian and Ubuntu: sudo apt install python$version-venv" \
        "Then run: bash setup.sh"
}

find_python() { # sets `base`
    local candidate crippled=""
    if [ -n "${PYTHON:-}" ]; then
        command -v -- "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON: no such program."
        supported "$PYTHON" ||
            fail "PYTHON=$PYTHON is Python $(version_of "$PYTHON" || say '?'); 3.11 to 3.13 will do."
        base="$PYTHON"
        makes_venvs "$PYTHON" || fail_without_venv "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3; do
        supported "$candidate" || continue
        if makes_venvs "$candidate"; then
            base="$candidate"
            return
        fi
        crippled="${crippled:-$candidate}"
    done
    if [ -n "$crippled" ]; then
        fail_without_venv "$crippled"
        return
    fi
    fail "no Python 3.11, 3.12 or 3.13 here." \
        "On Debian and Ubuntu: sudo apt install python3 python3-venv" \
        "(or python3.11 python3.11-venv, where python3 is another version)." \
        "If it's installed elsewhere, name it: PYTHON=/path/to/python3.11 bash setup.sh"
}

fingerprint() { # line 1: what needs a new .venv when it changes; line 2: what needs an install
    say "$root, Python $1"
    cat requirements.txt pyproject.toml | cksum
}

pip() { # quiet where nobody watches
    if [ -t 1 ]; then "$python" -m pip "$@"; else "$python" -m pip --quiet "$@"; fi
}

installed=""
if [ -e "$venv" ]; then
    [ -f "$state_file" ] ||
        fail "$venv is there, but this script didn't make it." \
            "Move it away and run this again, or install into it yourself: see CONTRIBUTING.md."
    installed="$(cat -- "$state_file")"
fi

if [ -n "${PYTHON:-}" ] || ! version="$(version_of "$python")"; then
    find_python
    version="$(version_of "$base")"
fi
wanted="$(fingerprint "$version")"

if [ "$installed" = "$wanted" ] && [ -x "$python" ]; then
    say "Set-up: nothing to do, .venv is up to date."
    exit 0
fi

# Kept only if whole, in the same place, with the same Python: a half-installed package looks
# installed to pip, and the scripts in bin/ hold this folder's path.
if [ "${installed%%$'\n'*}" != "${wanted%%$'\n'*}" ] || [ ! -x "$python" ]; then
    [ -n "${base:-}" ] || find_python
    wanted="$(fingerprint "$(version_of "$base")")"
    say "Set-up: making .venv with $base ..."
    rm -rf -- "$venv"
    mkdir -- "$venv"
    say interrupted >"$state_file"
    "$base" -m venv "$venv" || { fail_without_venv "$base" && "$base" -m venv "$venv"; }
fi
say interrupted >"$state_file"

say "Set-up: installing torch, the largest part (minutes, the first time) ..."
pip install "$(grep '^torch==' requirements.txt)"
say "Set-up: installing the rest of requirements.txt ..."
pip install -r requirements.txt
say "Set-up: installing signseq itself, editable ..."
pip install --no-deps --no-build-isolation --editable .

say "$wanted" >"$state_file"
say "Set-up: done. Next: make demo, make test, or .venv/bin/signseq --help"
