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

/// A warning if a script of `size` octets makes the pushes of istiod large. It is a part of each filter chain, and
/// istiod pushes a listener as a whole.
pub(crate) fn push_warning(size: usize, workloads: &[&Workload]) -> Option<String> {
    let chains = workloads
        .iter()
        .map(|workload| filter_chains(workload))
        .max()?;
    let push = size.saturating_mul(chains);
    if push <= NOTEWORTHY_PUSH {
        return None;
    }
    Some(format!(
        "istiod pushes the script ({} kB) with each of {chains} filter chains: {} MB to each gateway pod at each \
         change of the listener; the filter (packager manifest --image IMAGE) has its configuration once",
        size / 1_000,
        push / 1_000_000,
    ))
}

fn filter_chains(workload: &Workload) -> usize {
    workload
        .listeners
        .iter()
        .map(|listener| listener.chains.len())
        .sum()
}
