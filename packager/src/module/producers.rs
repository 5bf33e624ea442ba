//! The custom section `producers` with the programs that made a module (WebAssembly tool-conventions,
//! `ProducersSection.md`). Annotations of the image are read from it, so that they depend on the module only.

use std::borrow::Cow;

use anyhow::{Context, Result};
use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{Module, ProducersField, ProducersSection};
use wasmparser::{CustomSectionReader, KnownCustom, Parser, Payload, ProducersSectionReader};

const PROCESSED_BY: &str = "processed-by";

/// The programs that processed the module, with their versions.
///
/// # Errors
/// The bytes are not a module, or its section cannot be read.
pub(crate) fn producers(wasm: &[u8]) -> Result<Vec<(String, String)>> {
    let mut programs = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::CustomSection(section) = payload? else {
            continue;
        };
        // Other custom sections, such as names and features, are not needed.
        let KnownCustom::Producers(fields) = section.as_known() else {
            continue;
        };
        for field in fields {
            let field = field?;
            if field.name == PROCESSED_BY {
                for value in field.values {
                    let value = value?;
                    programs.push((value.name.to_owned(), value.version.to_owned()));
                }
            }
        }
    }
    Ok(programs)
}

/// Adds a program to the section of a module.
///
/// # Errors
/// The bytes are not a module.
pub(crate) fn add_producer(wasm: &[u8], program: &str, version: &str) -> Result<Vec<u8>> {
    let mut module = Module::new();
    AddProducer { program, version }
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .context("adding a program to the section producers")?;
    Ok(module.finish())
}

struct AddProducer<'a> {
    program: &'a str,
    version: &'a str,
}

impl Reencode for AddProducer<'_> {
    type Error = std::convert::Infallible;

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
    ) -> Result<(), wasm_encoder::reencode::Error<Self::Error>> {
        match section.as_known() {
            // The section is written again with one more entry; everything else is copied.
            KnownCustom::Producers(fields) => {
                module.section(&self.extended(fields)?);
                Ok(())
            }
            _ => utils::parse_custom_section(self, module, section),
        }
    }
}

impl AddProducer<'_> {
    fn extended(
        &self,
        fields: ProducersSectionReader<'_>,
    ) -> Result<ProducersSection, wasmparser::BinaryReaderError> {
        let mut section = ProducersSection::new();
        for field in fields {
            let field = field?;
            // Existing entries, such as rustc, stay.
            let mut copy = ProducersField::new();
            for value in field.values {
                let value = value?;
                copy.value(value.name, value.version);
            }
            if field.name == PROCESSED_BY {
                copy.value(self.program, self.version);
            }
            section.field(&Cow::Borrowed(field.name), &copy);
        }
        Ok(section)
    }
}
