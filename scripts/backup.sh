#!/usr/bin/env bash
# Makes a backup of database and files: `scripts/backup.sh --help` tells more, docs/backups.md all.
set -euo pipefail
# shellcheck source=scripts/venv.sh
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
run_of_backups make "$@"
