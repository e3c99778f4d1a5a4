# The agent inside the distro: read from stdin by the loader, run by /bin/sh (dash or bash), as one user.
# Same requests and answers as the PowerShell agent; see agent.py. Each command runs in a session of its own,
# writes to files (a child left behind cannot hold the answer back) and finds its own stdin, never this one.
IFS=' 	
'
set +f
tmp=
cd "${HOME:-/}" 2>/dev/null || cd /
read -r nonce
dir=$(mktemp -d "${TMPDIR:-/tmp}/vengeance-agent.XXXXXXXXXX") || exit 71
trap 'rm -rf "$dir"; if [ -n "$tmp" ]; then rm -f -- "$tmp"; fi' EXIT
trap 'exit 1' HUP INT PIPE TERM
: >"$dir/out"
: >"$dir/err"
last=-1
code=0
late=0
brief=

decode() { if [ "$1" != - ]; then printf %s "$1" | base64 -d; fi; }
text() { t=$(decode "$1"; printf x); t=${t%x}; }
encode() { if [ -s "$1" ]; then base64 -w0 <"$1"; else printf -- -; fi; }
size_of() { if [ -s "$1" ]; then wc -c <"$1"; else printf 0; fi; }
digest_of() { sha256sum <"$1" | cut -d' ' -f1; }

# An answer is put together in a file and leaves in one write: what arrives in pieces costs a request each.
# On a full disk there is no room for that file: then the answer is short and says so.
answer() {
  brief=
  if ! {
    printf '\n\036%s %s end %s %s %s ' "$nonce" "$last" "$code" "$late" "$(size_of "$dir/out")" &&
      encode "$dir/out" &&
      printf ' %s ' "$(size_of "$dir/err")" &&
      encode "$dir/err" &&
      printf '\n'
  } >"$dir/answer" 2>/dev/null; then
    brief="the command ended with exit code $code, but there is no room for its output in $dir: is the disk full?"
  fi
  repeat
}
repeat() {
  if [ -z "$brief" ]; then cat "$dir/answer"; return; fi
  printf '\n\036%s %s end 1 %s 0 - %s %s\n' "$nonce" "$last" "$late" "${#brief}" "$(printf %s "$brief" | base64 -w0)"
}
reply() { printf %s "$1" >"$dir/out"; code=0; }
refuse() { printf '%s\n' "$1" >"$dir/err"; code=1; }

live() {  # live FILE KIND SHOWN: prints what was added to FILE; $shown is the new length
  shown=$(size_of "$1")
  if [ "$shown" -gt "$3" ]; then
    printf '\n\036%s %s %s ' "$nonce" "$last" "$2"
    tail -c "+$(($3 + 1))" "$1" | head -c "$(($shown - $3))" | base64 -w0
    printf '\n'
  fi
}

run() {  # run COMMAND STDIN TIMEOUT STREAM; the last two are plain words
  limit=$3 stream=$4
  rm -f "$dir/pid" "$dir/late"
  : >"$dir/running"
  {
    { printf '%s\n' "$1"; decode "$2"; } |
      setsid sh -c 'echo "$$" >"$0/pid"; IFS= read -r c; c=$(printf %s "$c" | base64 -d; printf x); eval "${c%x}"' "$dir" \
        >"$dir/out" 2>"$dir/err"
    code=$?
    rm -f "$dir/running" "$dir/pid"
    exit "$code"
  } &
  job=$!
  if [ "$limit" != - ]; then
    setsid sh -c 'sleep "$1"; : >"$0/late"; p=$(cat "$0/pid"); kill -s TERM -- "-$p"; sleep 2; kill -s KILL -- "-$p"' \
      "$dir" "$limit" </dev/null >/dev/null 2>&1 &
    watch=$!
  fi
  if [ "$stream" = 1 ]; then
    out=0 err=0
    while [ -e "$dir/running" ]; do
      sleep 0.1
      live "$dir/out" out "$out"; out=$shown
      live "$dir/err" err "$err"; err=$shown
    done
  fi
  wait "$job"
  code=$?
  if [ "$limit" != - ]; then
    # Before it has become a session of its own it is only a process.
    kill -s KILL "$watch" 2>/dev/null
    kill -s KILL -- "-$watch" 2>/dev/null
  fi
  if [ -e "$dir/late" ]; then late=1; fi
  wait 2>/dev/null
}

open_upload() {  # open_upload ID PATH SHA256 SIZE MODE
  if [ -n "$tmp" ]; then rm -f -- "$tmp"; tmp=; fi
  text "$3"; digest=$t
  text "$4"; size=$t
  text "$5"; mode=$t
  text "$2"; path=$t
  if [ -h "$path" ]; then path=$(readlink -f -- "$path"; printf x); path=${path%?x}; fi
  if [ -d "$path" ]; then refuse "$path is a directory"; return; fi
  if [ -e "$path" ] && [ ! -f "$path" ]; then refuse "$path is a device, pipe or socket and no file"; return; fi
  if [ -f "$path" ] && [ -r "$path" ] && [ "$(digest_of "$path")" = "$digest" ]; then reply equal; return; fi
  tmp="$path.$nonce.tmp"
  if ! (umask 077; : >"$tmp") 2>"$dir/err"; then
    # A file may be writable in a folder that is not: then it is overwritten in place, as SFTP would do.
    tmp=
    if [ -f "$path" ] && [ -w "$path" ]; then tmp="$dir/upload"; : >"$tmp"; : >"$dir/err"; else code=1; return; fi
  fi
  transfer=$1 position=0
  rm -f "$dir/broken"
  reply ready
}

piece() {  # piece ID OFFSET LENGTH, then LENGTH raw bytes, all of which must be read whatever happens
  if [ -n "$tmp" ] && [ "$1" = "$transfer" ] && [ "$2" = "$position" ] && [ ! -e "$dir/broken" ]; then
    head -c "$3" | { cat >>"$tmp" 2>"$dir/broken.new" || { mv "$dir/broken.new" "$dir/broken"; cat >/dev/null; }; }
    position=$(($position + $3))
  else
    head -c "$3" >/dev/null
  fi
}

close_upload() {
  if [ -z "$tmp" ]; then refuse 'no upload is open'; return; fi
  if [ -e "$dir/broken" ]; then
    cat "$dir/broken" >"$dir/err"; code=1
  elif [ "$(size_of "$tmp")" != "$size" ] || [ "$(digest_of "$tmp")" != "$digest" ]; then
    refuse "what arrived differs from what was sent: $(size_of "$tmp") bytes, SHA-256 $(digest_of "$tmp")"
  elif [ "$tmp" = "$dir/upload" ]; then
    if cat "$tmp" >"$path" 2>"$dir/err"; then reply "$digest"; else code=1; fi
  else
    if [ -e "$path" ]; then
      chown --reference="$path" -- "$tmp" 2>/dev/null
      chmod --reference="$path" -- "$tmp"
    elif [ -n "$mode" ]; then
      chmod "$mode" -- "$tmp"
    else
      chmod "$(printf %o "$((0666 & ~$(umask)))")" -- "$tmp"
    fi
    # A mount point (such as /etc/hosts in a container) cannot be replaced, only written to.
    if mv -f -- "$tmp" "$path" 2>"$dir/err" || { [ -f "$path" ] && cat "$tmp" >"$path" 2>"$dir/err"; }; then
      : >"$dir/err"; reply "$digest"
    else
      code=1
    fi
  fi
  rm -f -- "$tmp"
  tmp=
}

read_file() {  # read_file PATH OFFSET COUNT
  text "$2"; offset=$t
  text "$3"; count=$t
  text "$1"; file=$t
  if [ -d "$file" ]; then refuse "$file is a directory"; return; fi
  if [ -e "$file" ] && [ ! -f "$file" ]; then refuse "$file is a device, pipe or socket and no file"; return; fi
  if ! length=$( { wc -c <"$file"; } 2>"$dir/err") || [ -z "$length" ]; then code=1; return; fi
  digest=-
  if [ "$offset" = 0 ]; then digest=$(head -c "$length" -- "$file" | sha256sum | cut -d' ' -f1); fi
  end=$(($offset + $count))
  if [ "$end" -gt "$length" ]; then end=$length; fi
  while [ "$offset" -lt "$end" ]; do
    chunk=$(($end - $offset))
    if [ "$chunk" -gt 261120 ]; then chunk=261120; fi
    {
      printf '\n\036%s %s data %s ' "$nonce" "$last" "$offset"
      tail -c "+$(($offset + 1))" -- "$file" | head -c "$chunk" | base64 -w0
      printf '\n'
    } >"$dir/answer"
    cat "$dir/answer"
    offset=$(($offset + $chunk))
  done
  reply "$length $digest"
}

prove() {
  reply "{\"version\": \"sh\", \"language_mode\": \"FullLanguage\", \"bytes\": \"$(decode "$1" | sha256sum | cut -d' ' -f1)\", \"child_stdin\": \"closed\", \"pid\": $$, \"directory\": \"$dir\"}"
}

while IFS= read -r line; do
  set -f
  set -- $line
  set +f
  if [ "$#" -lt 3 ] || [ "$1" != "$nonce" ]; then continue; fi
  id=$2 verb=$3
  shift 3
  if [ "$verb" = piece ]; then piece "$id" "$@"; continue; fi
  if [ "$id" -eq "$last" ]; then repeat; continue; fi
  if [ "$id" -lt "$last" ]; then continue; fi
  last=$id code=0 late=0
  : >"$dir/out"
  : >"$dir/err"
  case $verb in
    prove) prove "$@" ;;
    run) run "$@" ;;
    open) open_upload "$id" "$@" ;;
    close) close_upload ;;
    read) read_file "$@" ;;
    bye) exit 0 ;;
    *) refuse "the agent has no verb $verb" ;;
  esac
  answer
done
