//! What a configuration costs a gateway: memory, and the octets that istiod pushes.

use gateway::Workload;

/// The memory of a configuration that is worth a warning, in octets.
const NOTEWORTHY_MEMORY: usize = 100 << 20;
/// How many copies of a configuration Envoy keeps for each filter chain in normal operation. Measured:
/// 2.0 to 2.4, see bench/MEMORY.md.
const COPIES: usize = 2;
/// The same at the peak of an update. Measured: 4.1 to 4.7.
const COPIES_IN_UPDATE: usize = 4;

/// A warning if a configuration of `size` octets costs a gateway much memory. Envoy keeps the
/// configuration of a plugin for each filter chain.
pub(crate) fn memory_warning(size: usize, workloads: &[&Workload]) -> Option<String> {
    // A gateway keeps its own copies, so the largest gateway counts.
    let chains = workloads
        .iter()
        .map(|workload| filter_chains(workload))
        .max()?;
    let memory = size.saturating_mul(chains).saturating_mul(COPIES);
    if memory <= NOTEWORTHY_MEMORY {
        return None;
    }
    let memory_in_update = memory / COPIES * COPIES_IN_UPDATE;
    Some(format!(
        "Envoy keeps the configuration ({} kB) for each of {chains} filter chains: about {} MiB in each \
         gateway pod, {} MiB while it is replaced",
        size / 1_000,
        memory >> 20,
        memory_in_update >> 20,
    ))
}

/// The size of a push that is worth a warning, in octets.
const NOTEWORTHY_PUSH: usize = 10_000_000;
/// The memory of the Lua states of a filter chain without a script, in octets. Envoy has one in its main thread and one
/// in each worker. Measured with two workers, see bench/MEMORY.md.
const LUA_STATES: usize = 310_000;
/// How many octets an octet of a script takes in these states. Measured there too.
const OCTETS_IN_STATES: usize = 14;

/// Warnings if a script of `size` octets costs a gateway much. It is a part of each filter chain, and istiod pushes a
/// listener as a whole.
pub(crate) fn script_warnings(size: usize, workloads: &[&Workload]) -> Vec<String> {
    let chains = workloads
        .iter()
        .map(|workload| filter_chains(workload))
        .max()
        .unwrap_or_default();
    warnings_for(size, chains)
}

fn warnings_for(size: usize, chains: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let memory = chains.saturating_mul(LUA_STATES + size.saturating_mul(OCTETS_IN_STATES));
    if memory > NOTEWORTHY_MEMORY {
        warnings.push(format!(
            "Envoy has Lua states for each of {chains} filter chains: about {} MiB in each gateway pod with two \
             workers; the filter (packager manifest --image IMAGE) takes less",
            memory >> 20,
        ));
    }
    let push = size.saturating_mul(chains);
    if push > NOTEWORTHY_PUSH {
        warnings.push(format!(
            "istiod pushes the script ({} kB) with each of {chains} filter chains: {} MB to each gateway pod at each \
             change of the listener; the filter (packager manifest --image IMAGE) has its configuration once",
            size / 1_000,
            push / 1_000_000,
        ));
    }
    warnings
}

fn filter_chains(workload: &Workload) -> usize {
    workload
        .listeners
        .iter()
        .map(|listener| listener.chains.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::warnings_for;

    #[test]
    fn a_script_is_warned_of_by_its_memory_and_by_its_push() {
        for (size, chains, expected) in [
            (6_000, 10, [].as_slice()),
            // 100 MiB is 104,857,600 octets.
            (6_000, 266, &[]),
            (6_000, 267, &["about 100 MiB"]),
            (60_000, 167, &["about 183 MiB", "10 MB to each gateway pod"]),
            (60_000, 166, &["about 182 MiB"]),
        ] {
            let found = warnings_for(size, chains);
            assert_eq!(found.len(), expected.len(), "{size} {chains}: {found:?}");
            for (warning, part) in found.iter().zip(expected) {
                assert!(warning.contains(part), "{warning}");
            }
        }
    }
}
