//! The configurations of the generations: read, settled, forgotten.

use super::Performer;
use crate::config::Changes;
use crate::contract::message::Order;
use crate::contract::slot::Generation;
use crate::master::decide::scale;
use crate::master::event::Event;
use crate::master::pool::Pool;
use crate::telemetry;
use tracing::{error, info, warn};

impl Performer {
    /// Reads the configuration anew, unless another program is to do so.
    pub(super) fn load_config(&mut self) -> Event {
        let directory = &self.surroundings.directory;
        if self.program.as_ref().is_some_and(|program| program.has_changed(directory)) {
            return Event::ProgramChanged;
        }
        Event::ConfigLoaded(self.read_config())
    }

    /// Reads the configuration, and binds what it names newly.
    fn read_config(&mut self) -> Result<Pool, String> {
        let config = (self.start.reload_config)()?;
        let pool = Pool::of(&config);
        scale::fits(&pool, self.shared.scoreboard.slots_max())?;
        if let Some((_, serving)) = self.configs.last_key_value() {
            let changes = Changes::between(serving, &config);
            if !changes.reloaded.is_empty() {
                info!("changed keys that the reload takes: {}", changes.reloaded.join(", "));
            }
        }
        let bound = self.bind_new(&config)?;
        for key in Changes::between(&self.started_with, &config).restart {
            warn!("{key} has changed: this takes effect at a restart only");
        }
        self.loaded = Some((config, bound));
        Ok(pool)
    }

    /// What the new generation has changed for the server as a whole takes effect.
    pub(super) fn settle(&mut self, generation: Generation) {
        let Some(config) = self.configs.get(&generation).cloned() else { return };
        self.retire_addresses(&config.server);
        if let Err(error) = telemetry::adopt(&config.log) {
            error!(%error, "the error log could not be opened anew");
        }
        // By its name, behind which another directory may stand by now: the one before can be removed. Workers enter it
        // themselves, and say so if they cannot.
        let _ = std::env::set_current_dir(&self.surroundings.directory);
        // Those of new addresses are served by the workers of their slots alone from now on.
        for pid in self.links.keys().copied().collect::<Vec<_>>() {
            self.send(pid, Order::Vacancies, None);
        }
    }

    /// Forgets configurations that nobody can be started with any more.
    pub(in crate::master) fn forget(&mut self, is_used: impl Fn(Generation) -> bool) {
        self.configs.retain(|generation, _| is_used(*generation));
    }
}
