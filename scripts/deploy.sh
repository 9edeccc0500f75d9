#!/usr/bin/env bash
# Brings what is checked out into production without an interruption: builds the image, migrates, and replaces one web
# container after another behind its health check, and workers and cron. docs/deployment.md tells more.
#
#   scripts/deploy.sh              roll out what is checked out; what does not get healthy is rolled back
#   scripts/deploy.sh --restart    the same, and replace all even if the code is the same: for changed settings and secrets
#   scripts/deploy.sh --rollback   roll out again the release before this one
#   scripts/deploy.sh --help       this text
#
# COMPOSE_FILE says which compose files (docker-compose.yml:docker-compose.prod.yml), DEPLOY_SECONDS how long a container
# may take to get healthy (60). Exit code: 0 rolled out; 1 not, and the release before runs; 2 nothing was tried;
# 3 neither runs as it should.
set -euo pipefail
# Nothing ends it without a word.
trap 'printf "deploy: line %s failed\n" "$LINENO" >&2' ERR
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export COMPOSE_FILE=${COMPOSE_FILE:-docker-compose.yml:docker-compose.prod.yml}
seconds=${DEPLOY_SECONDS:-60}
image=delivery:${DELIVERY_TAG:-latest}
fresh='' # the container that nobody is served by yet

say() { printf '%(%T)T %s\n' -1 "$*"; }
die() {
  local code=$1
  shift
  printf 'deploy: %s\n' "$*" >&2
  exit "$code"
}

# Compose tells of each step; that is of interest when it fails.
quietly() {
  local told
  told=$("$@" 2>&1) || { printf '%s\n' "$told" >&2 && return 1; }
}

id_of() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }
image_of() { docker inspect --format '{{.Image}}' "$1"; }

# Of a service, stopped ones included, but not what `docker compose run` left.
containers() {
  docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$1" --filter label=com.docker.compose.oneoff=False
}

# Returns whether a container gets healthy in time; of one that ends nothing is to be hoped.
gets_healthy() {
  local end=$((SECONDS + seconds)) state
  while ((SECONDS < end)); do
    state=$(docker inspect --format '{{.State.Status}} {{.State.Health.Status}} {{.RestartCount}}' "$1") || return 1
    case $state in
      'running healthy 0') return 0 ;;
      'running starting 0') sleep 0.3 ;;
      *) return 1 ;;
    esac
  done
  return 1
}

# Makes one more web container, away from the network on which nginx finds it, and starts it.
one_more() {
  local before count
  before=$(containers web)
  count=$(wc -w <<<"$before")
  quietly docker compose up --no-start --no-build --no-deps --no-recreate --scale "web=$((count + 1))" web || return 1
  fresh=$(containers web | grep -vxF -f <(printf '%s\n' "$before")) || { say "compose made no new container" && return 1; }
  docker network disconnect "$front" "$fresh" && docker start "$fresh" >/dev/null
}

# From now on it is one of those whom the name `web` stands for.
admit() {
  docker network connect --alias web "$front" "$fresh" && fresh=''
}

discard() {
  [ -z "$fresh" ] || docker rm --force "$fresh" >/dev/null
  fresh=''
}

# It closes its port at once, so nginx asks another; then it answers what it has been asked.
retire() { docker stop "$1" >/dev/null && docker rm "$1" >/dev/null; }

runs() { [ "$(docker inspect --format '{{.State.Status}} {{.RestartCount}}' "$1")" = 'running 0' ]; }

missing() {
  say "$(docker inspect --format '{{.Name}}' "$1") does not run; the end of its log:"
  docker logs --tail 20 "$1" >&2 || true
}

# Returns whether a worker has loaded the app in time: then it has forked.
has_loaded() {
  local end=$((SECONDS + seconds))
  while ((SECONDS < end)); do
    runs "$1" || return 1
    [ "$(docker top "$1" -eo pid,args | grep -c 'python.* worker')" -lt 2 ] || return 0
    sleep 0.5
  done
  return 1
}

# Workers finish what a provider has in its hands; meanwhile messages wait in the outbox.
replace_rest() {
  local one workers
  workers=$(containers worker | wc -l)
  quietly docker compose up --detach --no-build --no-deps --scale "worker=$workers" "${again[@]}" worker cron || return 1
  for one in $(containers worker); do has_loaded "$one" || { missing "$one" && return 1; }; done
  sleep 5 # cron gives no such sign
  for one in $(containers worker) $(containers cron); do runs "$one" || { missing "$one" && return 1; }; done
  say "workers and cron replaced"
}

# Call roll CONTAINER...: replaces these web containers; workers follow the first that proves healthy, since it may
# write messages that only they can word.
roll() {
  local old new followed=''
  for old in "$@"; do
    one_more || return 1
    if ! gets_healthy "$fresh"; then
      say "web ${fresh:0:12} does not get healthy; the end of its log:"
      docker logs --tail 20 "$fresh" >&2 || true
      discard
      return 1
    fi
    if [ -z "$followed" ]; then replace_rest || return 1; fi
    followed=yes
    new=$fresh
    admit && retire "$old" || return 1
    say "web ${old:0:12} replaced by ${new:0:12}"
  done
}

# Prints the web containers that are not of this image.
others_than() {
  local one
  for one in $(containers web); do
    [ "$(image_of "$one")" = "$1" ] || echo "$one"
  done
}

# Call roll_back IMAGE: what ran before takes the place of what was to run.
roll_back() {
  local wanted
  wanted=$(id_of "$1") || die 3 "there is no image $1 to go back to"
  discard
  docker tag "$image" delivery:failed
  docker tag "$wanted" "$image"
  again=()
  # shellcheck disable=SC2046  # a list
  if ! { roll $(others_than "$wanted") && replace_rest; }; then
    die 3 "the release before does not get healthy either: docs/deployment.md, \"Back to the one before\""
  fi
}

[ $# -le 1 ] || die 2 "one argument at most"
case ${1:-} in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
  '' | --restart | --rollback) ;;
  *) die 2 "unknown argument $1; see --help" ;;
esac
exec 9<"${BASH_SOURCE[0]}"
flock --nonblock 9 || die 2 "another one is running"
config=$(docker compose config 2>&1) || die 2 "compose cannot read $COMPOSE_FILE: ${config##*$'\n'}"
project=$(sed -n 's/^name: //p' <<<"$config")
front=${project}_front
trap discard EXIT
trap 'say "interrupted; run it again, and it goes on"; exit 130' INT TERM
again=()

web=$(containers web) || die 2 "Docker does not say what runs"
running=$(tail -1 <<<"$web") # the oldest: after an interruption it is of the release before
[ -n "$running" ] || die 2 "nothing runs yet: docker compose up --detach --wait"
running=$(image_of "$running")

if [ "${1:-}" = --rollback ]; then
  before=$(id_of delivery:previous) || die 2 "there is no release before this one"
  [ "$before" != "$running" ] || [ -n "$(others_than "$before")" ] || die 2 "the release before runs already"
  roll_back delivery:previous
  say "rolled back"
  exit 0
fi

REVISION=$(git rev-parse HEAD 2>/dev/null || true)
export REVISION
say "build ${REVISION:-of no known commit}"
docker tag "$running" delivery:running
if ! docker compose build web; then
  docker tag delivery:running "$image"
  die 1 "the image cannot be built; nothing was changed"
fi
built=$(id_of "$image") || die 1 "compose has built no $image (DELIVERY_TAG is another one there?); nothing was changed"
outdated=$(others_than "$built")
[ "${1:-}" != --restart ] || outdated=$(containers web) again=(--force-recreate)
if [ -z "$outdated" ]; then
  say "this runs already; --restart takes over changed settings"
  exit 0
fi

say "migrate"
if ! docker compose run --rm --no-deps migrate; then
  docker tag delivery:running "$image"
  die 1 "the migration failed; the release before runs on"
fi
# shellcheck disable=SC2086  # a list
if ! roll $outdated; then
  say "roll back"
  [ "$built" != "$running" ] || die 1 "what ran before runs on, with the new settings in part"
  roll_back delivery:running
  die 1 "rolled back to the release before"
fi
[ "$built" = "$running" ] || docker tag delivery:running delivery:previous
say "rolled out ${REVISION:-what is of no known commit}"
