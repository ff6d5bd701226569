//! A place whose task goes on meanwhile with what another process does not take up.

use std::pin::Pin;

use super::Place;
use crate::proxy::parked::ParkedTask;

/// A place whose task goes on while it is parked.
pub struct Parking<'a> {
    place: &'a Place,
    /// What completes when it is to move again.
    parked: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Parking<'a> {
    /// Returns one that moves.
    pub fn new(place: &'a Place) -> Self {
        Self { place, parked: None }
    }

    /// Returns whether it is parked.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Completes when it parks, with what `shows` returns, or moves again. It is to be waited for at once again: only
    /// then is it seen. Cancel-safe.
    pub async fn changed(&mut self, shows: impl FnOnce() -> ParkedTask) {
        match &mut self.parked {
            Some(parked) => {
                parked.await;
                self.parked = None;
            }
            None => {
                self.place.frozen().await;
                self.parked = Some(Box::pin(self.place.park(shows())));
            }
        }
    }
}
