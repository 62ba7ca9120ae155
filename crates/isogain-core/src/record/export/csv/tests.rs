use super::*;
use crate::record::samples::{full_step, header, outcome, step};
use crate::statistics::Moments;

fn csv(run: &Run) -> String {
    let mut bytes = Vec::new();
    to_csv(run, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn one_number_a_row() {
    let text = csv(&Run { steps: vec![full_step()], ..Run::new(header()) });
    let has = |row: &str| assert!(text.lines().any(|line| line == row), "{row} in\n{text}");
    assert_eq!(text.lines().next(), Some("step,name,kind,statistic,value"));
    has("7,run,step,loss,2.300000007");
    has("7,run,step,learning_rate,0.05");
    has("7,run,clip,acted,1");
    has("7,fc1,cotangent,count,8");
    has("7,fc1,cotangent,norm,1.5");
    has("7,fc1.weight,update,min,-0.5");
    has("7,block1,flow,log_gain,-0.5");
    has("7,fc1,cotangent,exponent_-7,3");
    has("7,fc1,cotangent,exponent_-5,5");
    assert!(!text.contains("exponent_-6"), "an empty bin is no row");
    assert!(text.lines().all(|line| line.split(',').count() == 5));
}

#[test]
fn the_loss_of_every_step_of_a_run_that_ended() {
    let text = csv(&Run { steps: vec![step(0)], outcome: Some(outcome()), ..Run::new(header()) });
    let losses: Vec<&str> = text.lines().filter(|line| line.contains(",loss,")).collect();
    assert_eq!(losses, ["0,run,step,loss,2.3", "1,run,step,loss,NaN", "2,run,step,loss,0.1"]);
}

#[test]
fn what_is_not_finite_and_what_does_not_exist_can_be_told_apart() {
    let mut broken = step(0);
    broken.loss = f64::NEG_INFINITY;
    broken.joints[0].activation = Moments::default();
    let text = csv(&Run { steps: vec![broken], ..Run::new(header()) });
    assert!(text.contains("0,run,step,loss,-inf\n"));
    assert!(text.contains("0,fc1,activation,mean,\n"));
}

#[test]
fn names_with_commas_and_quotes_stay_one_field() {
    assert_eq!(quoted("fc1"), "fc1");
    assert_eq!(quoted("a,b"), "\"a,b\"");
    assert_eq!(quoted("say \"x\"\n"), "\"say \"\"x\"\"\n\"");
}

#[test]
fn a_full_disk_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = to_csv(&Run::new(header()), Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
