#!/bin/sh
# Carries out the plan of this folder step by step, or undoes it. It needs kubectl.
# `sh run.sh --help` explains the options.
set -uf

usage() {
    cat <<'END'
Carries out all steps of the plan in this folder, or undoes them.

Usage: sh run.sh [OPTIONS]
       sh undo.sh [OPTIONS]

Options:
  --from-step N      Begin with step N. All steps before it must be applied. To undo: the last applied step
  --to-step N        Stop after step N. To undo: the last step to undo
  --undo             Undo the applied steps, the last one first (undo.sh does this)
  --wait SECONDS     The shortest wait after each step [default: 10]
  --drain SECONDS    The wait for open connections, after the steps that need it: the drainDuration
                     of the gateways [default: 45]
  --probes N         How many checks in a row must succeed [default: 3]
  --timeout SECONDS  The longest wait for the gateways after a step [default: 120]
  --dry-run          Print the commands but change nothing
  -h, --help         Print this help

Environment:
  GATEWAY            The address and port of the gateway, to probe it after each step. A plan for
                     several listeners has GATEWAY_2, GATEWAY_3 and so on
  PROBE_OPTIONS      Options for `packager probe`, such as --ca-file ca.pem
  KUBECONFIG         The kubeconfig for kubectl. Its current context is used until the end

Exit status: 0 if the steps are applied, or undone; 1 if the script stopped or refused to start; 2 for
wrong arguments; 130 if it was interrupted. If the script was stopped or killed, run it again: it
continues.
END
}

# The data of the plan.
#DATA

# ---- Output

dir=$(dirname -- "$0")
case $dir in -*) dir=./$dir ;; esac
is_terminal=no
if [ -t 1 ]; then is_terminal=yes; fi

# Prints words as a shell reads them back.
quote() {
    line=
    for word; do
        case $word in
            '' | *[!A-Za-z0-9_./:@%+=,-]*)
                word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'"
                ;;
        esac
        line="$line${line:+ }$word"
    done
    printf '%s\n' "$line"
}

# On a terminal, the last line is the progress. Each other line replaces it.
say() {
    if [ "$is_terminal" = yes ]; then printf '\r\033[K'; fi
    printf '%s\n' "$1"
}

progress() {
    if [ "$is_terminal" = yes ]; then printf '\r\033[K  %s' "$1"; fi
}

# Prints a file, indented and without characters that control a terminal.
show() {
    if [ "$is_terminal" = yes ]; then printf '\r\033[K'; fi
    tr -d '\000-\010\013-\037\177' <"$1" | sed 's/^/  /'
}

# A number with its noun, such as `1 step` or `2 steps`.
count() {
    if [ "$1" = 1 ]; then printf '%s %s' "$1" "$2"; else printf '%s %ss' "$1" "$2"; fi
}

duration() {
    if [ "$1" -lt 120 ]; then
        printf '%s s' "$1"
    else
        printf '%s min' $((($1 + 59) / 60))
    fi
}

# The command that runs a script of this folder again, with the options and addresses of this run.
command_for() {
    command_script=$1
    set -- sh "$dir/$1"
    if [ -n "$to" ] && [ "$command_script" = "$script" ]; then set -- "$@" --to-step "$to"; fi
    if [ "$is_wait_given" = yes ]; then set -- "$@" --wait "$wait"; fi
    if [ "$drain" != 45 ]; then set -- "$@" --drain "$drain"; fi
    if [ "$probes" != 3 ]; then set -- "$@" --probes "$probes"; fi
    if [ "$timeout" != 120 ]; then set -- "$@" --timeout "$timeout"; fi
    variables=
    for variable in KUBECONFIG $address_variables PROBE_OPTIONS; do
        eval "value=\${$variable:-}"
        if [ -n "$value" ]; then variables="$variables$variable=$(quote "$value") "; fi
    done
    printf '%s%s\n' "$variables" "$(quote "$@")"
}

wrong_arguments() {
    printf 'error: %s\nhint: %s\n' "$1" "$(quote sh "$dir/run.sh" --help)" >&2
    exit 2
}

# Nothing is changed yet.
refuse() {
    say "refused: $1"
    say "hint: $2"
    exit 1
}

# Stops at a surprise. Each step is safe by itself, so the operator has time to decide.
stop() {
    say "stopped: $1"
    if [ -n "${2:-}" ]; then show "$2"; fi
    say "to continue: $(command_for "$script")"
    if [ "$mode" = run ]; then say "to go back: $(command_for undo.sh)"; fi
    exit 1
}

interrupted() {
    say "interrupted"
    say "to continue: $(command_for "$script")"
    if [ "$mode" = run ]; then say "to go back: $(command_for undo.sh)"; fi
    exit 130
}

# ---- The cluster

# A new current context in the kubeconfig must not send the next step to another cluster.
k() {
    kubectl ${context:+"--context=$context"} "$@"
}

# Whether a resource is in one of its states. State 0 is before the plan, and each write leads to the next
# state. The files in `run` are patches that only test: `state` tests the whole spec, and `fields` tests
# the fields that the plan changes.
is_at() {
    "resource_$1"
    if [ "$2" = "$deleted_state" ]; then
        k get "$type/$name" --namespace "$namespace" --ignore-not-found -o name \
            >"$work/found" 2>"$work/error" && [ ! -s "$work/found" ]
    else
        k patch "$type/$name" --namespace "$namespace" --type json --dry-run=server \
            --patch-file "$dir/run/$3-$1-$2.json" -o 'jsonpath={.metadata.resourceVersion}' \
            >"$work/version" 2>"$work/error"
    fi
}

# Finds the state of a resource, and with it the steps that are applied: `started` is the last step with an
# applied write, `pending` is the first step with a write that is not applied.
locate() {
    state=0
    until is_at "$1" "$state" "$2"; do
        state=$((state + 1))
        if [ "$state" -gt "$last_state" ]; then return 1; fi
    done
    eval "state_$1=$state"
    number=0
    next=$((steps + 1))
    for move in $moves; do
        number=$((number + 1))
        if [ "$number" -le "$state" ]; then
            if [ "$move" -gt "$started" ]; then started=$move; fi
        else
            next=$move
            break
        fi
    done
    if [ "$next" -lt "$pending" ]; then pending=$next; fi
}

locate_all() {
    started=0
    pending=$((steps + 1))
    resource=0
    # The other resources show whether a step is applied, so all of them are checked.
    is_expected=yes
    while [ "$resource" -lt "$resources" ]; do
        resource=$((resource + 1))
        progress "checks resource $resource of $resources"
        if ! locate "$resource" "$1"; then
            say "$title is not as the plan expects it:"
            show "$work/error"
            is_expected=no
        fi
    done
    if [ "$is_expected" = no ]; then return 1; fi
    if [ "$started" -gt "$pending" ]; then
        say "step $started is applied, but step $pending is not"
        return 1
    fi
}

# The identities and generations of all resources of the plan. A change of a spec changes the generation.
snapshot() {
    : >"$work/listing"
    list_resources list_namespace || return 1
    awk '{ $1 = $1; print }' "$work/listing" | sort >"$1"
}

list_namespace() {
    list_namespace=$1
    shift
    columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name
    k get "$@" --namespace "$list_namespace" --ignore-not-found --no-headers \
        -o "custom-columns=$columns,UID:.metadata.uid,GENERATION:.metadata.generation" \
        >>"$work/listing" 2>"$work/error"
}

# Whether only this script changed the resources since the last time.
is_unchanged() {
    snapshot "$work/now" || stop 'the resources cannot be read' "$work/error"
    if cmp -s "$work/known" "$work/now"; then return 0; fi
    sort "$work/known" "$work/now" | uniq -u | awk '{ print $1, $2 "/" $3 }' | uniq >"$work/changed"
    return 1
}

# What the resources are after the writes of a step: each patch increments the generation. A step may patch
# one resource several times.
expect_written() {
    awk 'NR == FNR { if ($4 == "delete") gone[$1, $2, $3]; else if ($4 == "patch") patches[$1, $2, $3]++; next }
        ($1, $2, $3) in gone { next }
        ($1, $2, $3) in patches { $5 += patches[$1, $2, $3] }
        { print }' "$work/written" "$work/known" | sort >"$work/next"
    mv "$work/next" "$work/known"
}

# ---- Writes. The arguments are a resource, its state before the write, the action and the file.

apply_write() {
    "resource_$1"
    if [ "$dry_run" = yes ]; then
        case $3 in
            patch) say "  $(patch_command "$4")" ;;
            delete) say "  $(quote kubectl delete "$type/$name" --namespace "$namespace")" ;;
        esac
        return
    fi
    # A killed run may have made some writes of its last step.
    eval "state=\$state_$1"
    if [ "$state" -gt "$2" ]; then return; fi
    is_made=yes
    case $3 in
        patch) patch "$4" || is_made=no ;;
        delete) delete "$1" "$2" || is_made=no ;;
    esac
    # A lost connection leaves open whether the API server made the write.
    if [ "$is_made" = no ]; then
        cp "$work/out" "$work/refusal"
        if ! is_at "$1" $(($2 + 1)) state; then
            stop "$title was not changed by step $step:" "$work/refusal"
        fi
        echo "$title was changed" >"$work/out"
    fi
    show "$work/out"
    echo "$kind $namespace $name $3" >>"$work/written"
    eval "state_$1=$(($2 + 1))"
}

patch() {
    k patch "$type/$name" --namespace "$namespace" --type json --patch-file "$dir/$1" >"$work/out" 2>&1
}

patch_command() {
    quote kubectl patch "$type/$name" --namespace "$namespace" --type json --patch-file "$dir/$1"
}

# Deletes a resource in one state. The API server refuses if the resource changed after the check.
delete() {
    for attempt in 1 2 3; do
        if ! is_at "$1" "$2" state; then
            cp "$work/error" "$work/out"
            return 1
        fi
        version=$(cat "$work/version")
        options='{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"%s"}}'
        # shellcheck disable=SC2059
        if printf "$options" "$version" | k delete --raw "$path/$name" -f - >"$work/out" 2>&1; then
            echo "$title deleted" >"$work/out"
            return 0
        fi
        progress "attempt $attempt failed"
    done
    return 1
}

undo_write() {
    "resource_$1"
    if [ "$dry_run" = yes ]; then
        case $3 in
            patch) say "  $(patch_command "$4")" ;;
            create) say "  $(quote kubectl create --raw "$path" --filename "$dir/$4")" ;;
        esac
        return
    fi
    eval "state=\$state_$1"
    if [ "$state" -le "$2" ]; then return; fi
    is_made=yes
    case $3 in
        patch) patch "$4" || is_made=no ;;
        # The API server stores a raw request as it is, with all labels and annotations.
        create) k create --raw "$path" --filename "$dir/$4" >"$work/out" 2>&1 || is_made=no ;;
    esac
    if [ "$is_made" = no ]; then
        cp "$work/out" "$work/refusal"
        if ! is_at "$1" "$2" fields; then
            stop "the undo of step $step did not change $title:" "$work/refusal"
        fi
    fi
    echo "$title restored" >"$work/out"
    show "$work/out"
    eval "state_$1=$2"
}

# ---- Waits

# The time for the remaining steps. The checks after each step are quick.
seconds_left() {
    left=0
    number=$1
    while [ "$number" -le "$2" ]; do
        "step_$number"
        left=$((left + wait + probes - 1))
        if [ "$needs_drain" = yes ] && [ "$mode" = run ]; then left=$((left + drain)); fi
        number=$((number + 1))
    done
    echo "$left"
}

pause() {
    pause_end=$(($(date +%s) + $1))
    while :; do
        pause_left=$((pause_end - $(date +%s)))
        if [ "$pause_left" -le 0 ]; then return; fi
        progress "$2, $(duration "$pause_left")"
        sleep 1
    done
}

# Repeats a check until it succeeds several times in a row.
until_stable() {
    successes=0
    stable_end=$(($(date +%s) + timeout))
    while :; do
        if "$1"; then
            successes=$((successes + 1))
            if [ "$successes" -ge "$probes" ]; then return 0; fi
        else
            successes=0
            if [ "$(date +%s)" -ge "$stable_end" ]; then return 1; fi
        fi
        progress "$2, $successes of $probes"
        sleep 1
    done
}

run_istioctl() {
    istioctl ${context:+"--context=$context"} proxy-status ${istioctl_option:+"$istioctl_option"} \
        >"$work/proxies" 2>"$work/error"
}

# Lists the running pods of a namespace with some labels.
list_pods() {
    k get pods --namespace "$1" ${2:+"--selector=$2"} --field-selector status.phase=Running --no-headers \
        -o custom-columns=NAME:.metadata.name,OF:.metadata.namespace,DELETED:.metadata.deletionTimestamp \
        >"$work/listed" 2>"$work/error" || return 1
    if [ ! -s "$work/listed" ]; then
        echo "no pod with $2 runs in $1" >"$work/error"
        return 1
    fi
    cat "$work/listed" >>"$work/pods"
}

# Whether all pods of the plan have the newest configuration. New versions of istioctl print the status of each
# type only with --verbosity (Istio istioctl/pkg/writer/pilot/status.go, printAllVerbose).
is_synced() {
    : >"$work/pods"
    "pods_$plan" list_pods || return 1
    run_istioctl || return 1
    awk '
        NR == FNR { if ($3 == "<none>") problem[$1 "." $2] = "not listed"; next }
        $1 in problem { problem[$1] = "not SYNCED" }
        $1 in problem && /SYNCED|Synced/ && !/STALE|Stale|ERROR/ { delete problem[$1] }
        END { for (pod in problem) { print pod " is " problem[pod]; late = 1 }; exit late }
        ' "$work/pods" "$work/proxies" >"$work/error"
}

run_probe() {
    # shellcheck disable=SC2086 # the options are several words
    packager probe --connect "$address" ${PROBE_OPTIONS:-} "$@"
}

# Probes the hosts of the plan. The answers on new connections are the fourth column of the table.
probe() {
    "probe_$plan" run_probe >"$work/probe" 2>"$work/error"
    probe_status=$?
    awk -F '  +' '/^AUTHORITY / { is_table = 1; next } is_table && $0 == "" { exit }
        is_table { print $1, $4 }' "$work/probe" >"$work/answers"
    # Other verdicts that fail, such as a 404 on new connections too, are no matter of the plan.
    awk -F '  +' '/^AUTHORITY / { is_table = 1; next } is_table && $0 == "" { exit }
        is_table && ($5 == "not-fixed" || $5 == "wrong-route")' "$work/probe" >"$work/broken"
    cat "$work/probe" >>"$work/error"
    [ "$probe_status" -le 1 ] && [ -s "$work/answers" ]
}

# Whether each host has the answer of the start. After the last step all hosts share a server, so they have it
# on a reused connection too.
is_answered() {
    probe || return 1
    if ! cmp -s "$work/answers" "$work/answers-$plan"; then
        # An undo may repair answers. Then the repaired ones have to stay.
        if [ "$mode" = undo ]; then cp "$work/answers" "$work/answers-$plan"; fi
        return 1
    fi
    [ "$1" = no ] || [ ! -s "$work/broken" ]
}

is_step_answered() { is_answered "$expects_merged"; }

# istiod collects changes before it sends them, for 10 seconds at most (PILOT_DEBOUNCE_MAX, in
# pilot/pkg/features/tuning.go). A status that is older than the change would be wrong.
wait_for_step() {
    "step_$step"
    "plan_$plan"
    eval "address=\${$address_variable:-}"
    drains=no
    expects_merged=no
    if [ "$mode" = run ]; then
        drains=$needs_drain
        expects_merged=$is_last
    fi
    if [ "$dry_run" = yes ]; then
        print_wait
        return
    fi
    pause "$wait" "waits for istiod"
    if [ "$uses_istioctl" = yes ]; then
        until_stable is_synced "waits for all gateways" ||
            stop "after $(count "$timeout" second), step $step is not on all gateways:" "$work/error"
        say "  all gateways have the step"
    fi
    is_probed=no
    if [ "$uses_probe" = yes ] && [ -n "$address" ]; then is_probed=yes; fi
    if [ "$is_probed" = yes ] && { [ "$drains" = no ] || [ "$uses_istioctl" = no ]; }; then check_answers; fi
    if [ "$drains" = yes ]; then
        pause "$drain" "waits until the gateways have closed old connections"
        say "  the gateways had $(count "$drain" second) to close old connections"
        if [ "$is_probed" = yes ]; then check_answers; fi
    fi
}

check_answers() {
    if ! until_stable is_step_answered "probes the hosts"; then
        if [ "$mode" = undo ]; then
            # The way back must not depend on what the plan broke.
            say "  after $(count "$timeout" second), the gateway has no stable answers; the undo goes on:"
            show "$work/error"
            return
        fi
        stop "after $(count "$timeout" second), the answers are not as expected:" "$work/error"
    fi
    say "  $(count "$probes" probe) in a row: the expected answers"
}

print_wait() {
    say "  # wait $(count "$wait" second)"
    if [ "$uses_istioctl" = yes ]; then
        say "  istioctl proxy-status${istioctl_option:+ $istioctl_option} # until each gateway is SYNCED"
    fi
    if [ "$drains" = yes ]; then say "  # wait $(count "$drain" second): the gateways close old connections"; fi
    if [ "$uses_probe" = yes ] && [ -n "$address" ]; then
        say "  $("probe_$plan" quote packager probe --connect "$address")"
    fi
}

# Whether istiod has all gateways of the plans. One that is not SYNCED at this moment is listed all the same.
lists_all_gateways() {
    # Older versions do not have the option, and print the status without it.
    istioctl_option=--verbosity=1
    run_istioctl || istioctl_option=
    plan=0
    while [ "$plan" -lt "$plans" ]; do
        plan=$((plan + 1))
        "plan_$plan"
        if is_synced; then continue; fi
        if ! grep -q 'not SYNCED$' "$work/error" || grep -q 'not listed$' "$work/error"; then return 1; fi
    done
}

# Decides how to wait, before anything is changed.
choose_waits() {
    uses_istioctl=no
    uses_probe=no
    if command -v istioctl >/dev/null 2>&1 && lists_all_gateways; then uses_istioctl=yes; fi
    missing=
    for variable in $address_variables; do
        eval "value=\${$variable:-}"
        if [ -z "$value" ]; then missing="$missing $variable"; else uses_probe=yes; fi
    done
    if ! command -v packager >/dev/null 2>&1; then
        uses_probe=no
        say "no probes: packager is not in PATH"
    elif [ -n "$missing" ]; then
        say "no probes where the address of the gateway is missing:$missing"
    fi
    is_checked=$uses_istioctl
    # A step on a listener without an address would have no check.
    if [ "$uses_probe" = yes ] && [ -z "$missing" ]; then is_checked=yes; fi
    if [ "$uses_istioctl" = yes ]; then
        say "after each step: waits $(count "$wait" second), then until istioctl shows each gateway as SYNCED"
        return
    fi
    say "istioctl is missing or does not list all gateways"
    if [ "$is_checked" = no ] && [ "$is_wait_given" = no ]; then
        if [ "$dry_run" = yes ]; then return; fi
        refuse "without istioctl and without a probe, nothing shows when the gateways have a step" \
            "$(command_for "$script") --wait 30   # waits this long after each step"
    fi
    probed=
    if [ "$uses_probe" = yes ]; then probed="$(count "$probes" probe) in a row with the expected answers"; fi
    if [ "$is_checked" = yes ]; then
        say "after each step: waits $(count "$wait" second), then for $probed"
    elif [ -n "$probed" ]; then
        say "after each step: waits $(count "$wait" second), then for $probed where there is an address"
    else
        say "after each step: waits $(count "$wait" second), without a check"
    fi
}

# The answers before the first write are the expected ones. They are kept for a run that continues: the steps so
# far may have broken the gateway.
probe_start() {
    plan=0
    while [ "$plan" -lt "$plans" ]; do
        plan=$((plan + 1))
        "plan_$plan"
        eval "address=\${$address_variable:-}"
        if [ -z "$address" ]; then continue; fi
        saved=$dir/run/answers-$plan
        if [ "$mode" = run ] && [ "$started" != 0 ] && [ -s "$saved" ]; then
            cp "$saved" "$work/answers-$plan"
            continue
        fi
        if ! probe; then
            # The plan may have broken the gateway, and the undo repairs it.
            if [ "$mode" = undo ]; then
                : >"$work/answers-$plan"
                continue
            fi
            say "the gateway at $address cannot be probed:"
            show "$work/error"
            refuse "nothing would show whether a step worked; this run changed nothing" \
                "$("probe_$plan" quote packager probe --connect "$address") ${PROBE_OPTIONS:-}"
        fi
        cp "$work/answers" "$work/answers-$plan"
        if [ "$mode" = undo ] || [ "$started" != 0 ]; then continue; fi
        # A killed script leaves all of the file or none of it.
        if ! { cp "$work/answers" "$saved.new" && mv "$saved.new" "$saved"; } 2>"$work/error"; then
            say "the answers cannot be saved, so a run that continues takes the answers of that time:"
            show "$work/error"
        fi
    done
}

# ---- The steps

announce() {
    "step_$step"
    say "step $step/$steps, $step_kind: $purpose ($(duration "$(seconds_left "$1" "$2")") left)"
    "step_$step"
}

run_steps() {
    step=$first
    while [ "$step" -le "$last" ]; do
        announce "$step" "$last"
        if [ "$step" -ge "$pending" ]; then
            if [ "$dry_run" = no ] && ! is_unchanged; then
                stop "another client changed resources before step $step:" "$work/changed"
            fi
            echo '- - - -' >"$work/written"
            "writes_$step" apply_write
            if [ "$dry_run" = no ]; then expect_written; fi
        else
            say "  already applied"
        fi
        wait_for_step
        step=$((step + 1))
    done
    if [ "$dry_run" = no ] && ! is_unchanged; then
        stop "another client changed resources after step $last:" "$work/changed"
    fi
}

undo_steps() {
    step=$first
    while [ "$step" -ge "$last" ]; do
        "step_$step"
        say "undo of step $step/$steps, $step_kind: $purpose ($(duration "$(seconds_left "$last" "$step")") left)"
        "undo_writes_$step" undo_write
        wait_for_step
        step=$((step - 1))
    done
}

# The result, with the number of the last applied step.
say_applied() {
    case $1 in
        0) say "done: no step is applied" ;;
        1) say "done: step 1 is applied" ;;
        "$steps") say "done: all $steps steps are applied" ;;
        *) say "done: steps 1 to $1 are applied" ;;
    esac
}

start_run() {
    if [ "$dry_run" = yes ]; then
        first=${from:-1}
        last=${to:-$steps}
        pending=1
        run_steps
        exit 0
    fi
    snapshot "$work/known" || stop_reading
    if ! locate_all state; then
        if [ "$started" = 0 ]; then
            refuse "the resources are not those of the plan; this run changed nothing" \
                "packager merge --cluster"
        fi
        stop "the resources are not those of the plan"
    fi
    # The check of many resources takes time.
    if ! is_unchanged; then
        show "$work/changed"
        refuse "resources changed during the check; this run changed nothing" "$(command_for "$script")"
    fi
    first=${from:-$started}
    if [ "$first" -gt "$pending" ]; then
        refuse "step $pending is not applied; this run changed nothing" "$(command_for run.sh)"
    fi
    # The wait of the last applied step may have been cut off.
    if [ "$first" -gt "$started" ]; then first=$started; fi
    if [ "$first" -lt 1 ]; then first=1; fi
    last=${to:-$steps}
    if [ "$last" -lt "$started" ]; then
        refuse "step $started is applied already; this run changed nothing" \
            "$(command_for undo.sh) --to-step $((last + 1))"
    fi
    if [ "$started" != 0 ]; then say "step $started is applied in the cluster; the script continues there"; fi
    if [ "$uses_probe" = yes ]; then probe_start; fi
    run_steps
    say_applied "$last"
}

start_undo() {
    if [ "$dry_run" = yes ]; then
        first=${from:-$steps}
        last=${to:-1}
        undo_steps
        exit 0
    fi
    if ! locate_all fields; then
        refuse "the undo would overwrite this change; revert it first, and run the undo again" \
            "$(command_for undo.sh)"
    fi
    first=$started
    if [ -n "$from" ] && [ "$from" -lt "$started" ]; then
        refuse "step $started is applied; undo it first" "$(command_for undo.sh)"
    fi
    last=${to:-1}
    if [ "$uses_probe" = yes ]; then probe_start; fi
    undo_steps
    # With --to-step, the steps before it stay applied.
    if [ "$started" -ge "$last" ]; then started=$((last - 1)); fi
    say_applied "$started"
}

stop_reading() {
    show "$work/error"
    refuse "the resources cannot be read; this run changed nothing" "kubectl config view --minify"
}

# ---- Arguments

mode=run
from=
to=
wait=10
is_wait_given=no
drain=45
probes=3
timeout=120
dry_run=no
while [ "$#" -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --undo) mode=undo ;;
        --dry-run) dry_run=yes ;;
        --from-step | --to-step | --wait | --drain | --probes | --timeout)
            case ${2:-} in
                '' | *[!0-9]* | 0[0-9]* | ???????*) wrong_arguments "$1 needs a number" ;;
            esac
            case $1 in
                --from-step) from=$2 ;;
                --to-step) to=$2 ;;
                --wait) wait=$2 is_wait_given=yes ;;
                --drain) drain=$2 ;;
                --probes) probes=$2 ;;
                --timeout) timeout=$2 ;;
            esac
            shift
            ;;
        *) wrong_arguments "unknown argument: $1" ;;
    esac
    shift
done
for number in $from $to; do
    if [ "$number" -lt 1 ] || [ "$number" -gt "$steps" ]; then
        wrong_arguments "the plan has the steps 1 to $steps"
    fi
done
low=${from:-1}
high=${to:-$steps}
if [ "$mode" = undo ]; then
    low=${to:-1}
    high=${from:-$steps}
fi
if [ "$low" -gt "$high" ]; then wrong_arguments "--from-step $from and --to-step $to leave no step"; fi
if [ "$probes" -lt 1 ]; then wrong_arguments "--probes needs at least 1"; fi
script=run.sh
if [ "$mode" = undo ]; then script=undo.sh; fi

if ! command -v kubectl >/dev/null 2>&1; then wrong_arguments "kubectl is not in PATH"; fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap interrupted HUP INT TERM
# Inside a cluster there is no context.
context=$(kubectl config current-context 2>/dev/null) || context=

say "plan of $(count "$steps" step), about $(duration "$(seconds_left "$low" "$high")")"
say "kubectl context: ${context:-none}"
choose_waits
"start_$mode"
