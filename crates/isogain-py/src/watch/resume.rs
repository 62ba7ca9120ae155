//! Going on with a run that is recorded already.

use isogain_core::record::line::Resumed;
use isogain_core::record::{self, Line, RecordError, Recorder, Run, Writer};

use super::state::State;

impl State {
    /// Decides at which step the record goes on.
    ///
    /// # Errors
    /// A sentence, where the folder holds no run, or that of another model.
    pub(crate) fn resume_run(&mut self, parameters: &[(String, u64)], step: Option<u64>) -> Result<u64, String> {
        let Some(folder) = &self.folder else { return Err("there is no folder with a run to go on with".into()) };
        let run = record::read(folder).map_err(|error| error.to_string())?;
        if let Some(difference) = difference(&run, parameters) {
            let folder = folder.display();
            return Err(format!(
                "{folder} holds the run of another model: {difference}; choose another folder, or the model that was recorded"
            ));
        }
        let next = run.steps.last().map_or(0, |last| last.step + 1);
        let step = step.unwrap_or(next);
        self.resumes_at = Some(step);
        Ok(step)
    }

    /// Opens the run again and says where it goes on.
    pub(crate) fn append(&self, step: u64) -> Result<Option<Recorder>, RecordError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let mut writer = Writer::append(folder)?;
        writer.write(&Line::Resumed(Resumed { step }))?;
        Ok(Some(Recorder::new(writer, u64::MAX).resumed(step, Vec::new())))
    }
}

/// The first difference between the parameters of a record and these; `None` where there is none.
fn difference(run: &Run, parameters: &[(String, u64)]) -> Option<String> {
    if !run.trials.is_empty() {
        return Some("it is a search of many trainings".into());
    }
    // Weights are measured at some steps only, their names stand in each.
    let recorded = run.steps.iter().find(|step| step.parameters.iter().any(|parameter| parameter.weight.count > 0));
    let recorded = &recorded.or_else(|| run.steps.first())?.parameters;
    for parameter in recorded {
        let Some((name, count)) = parameters.iter().find(|(name, _)| *name == parameter.name) else {
            return Some(format!("it has a parameter {}, and this one has none of that name", parameter.name));
        };
        let before = parameter.weight.count;
        if before > 0 && before != *count {
            return Some(format!("its {name} has {before} values, and that of this one {count}"));
        }
    }
    let is_new = |(name, _): &&(String, u64)| recorded.iter().all(|parameter| parameter.name != *name);
    let (name, _) = parameters.iter().find(is_new)?;
    Some(format!("it has no parameter {name}, and this one has"))
}
