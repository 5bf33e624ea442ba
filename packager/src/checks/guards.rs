//! SG401 and SG402: installed filters.

use super::Input;
use super::finding::Findings;

pub(super) fn find(_input: &Input<'_>, _findings: &mut Findings<'_>) {}
