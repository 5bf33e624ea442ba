//! How a gateway gets an image that this command pulls with the credentials and the authorities of this machine.

use anyhow::Result;
use gateway::advice::Advice;

use super::image_source::ImageSource;
use super::registry::{Connection, Need, Needs};
use crate::module::loading::Consumer;

/// The rights with which an image was pulled, and those that a gateway needs.
#[derive(Debug)]
pub(crate) struct Access {
    /// The source of the credentials of this command.
    pub(crate) credentials: String,
    pub(crate) needs: Vec<(Need, Advice)>,
    /// Why it is not known what a gateway needs; `None` if it is known.
    pub(crate) unknown: Option<String>,
}

impl Access {
    /// How a gateway gets the image, which this command pulls with the credentials and the authorities of this
    /// machine.
    pub(crate) fn find(
        image: &ImageSource,
        connection: &Connection,
        consumer: Consumer,
    ) -> Result<Option<Self>> {
        let Some((registry, credentials)) = image.registry().zip(image.credentials()) else {
            return Ok(None);
        };
        let Needs { found, unknown } = image.needs(connection)?;
        let needs = found
        .into_iter()
        .map(|(need, answer)| {
            let advice = match need {
                Need::PullSecret => Advice::new(
                    format!("without credentials, {answer}"),
                    "add --image-pull-secret NAME to `packager manifest`, which prints the command that \
                     creates the Secret",
                ),
                Need::Authority => {
                    Advice::new(answer, consumer.trust_hint(registry))
                }
            };
            (need, advice)
        })
        .collect();
        Ok(Some(Self {
            credentials,
            needs,
            unknown,
        }))
    }
}
