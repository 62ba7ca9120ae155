//! The loss by step, as many points as a chart can show and no more, whatever the length of the run.

/// Most points kept.
const MOST_POINTS: usize = 1024;

/// Some steps in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The first of them.
    pub(crate) step: u64,
    /// Its loss; NaN if one of the losses was not finite.
    pub(crate) loss: f64,
    /// The smallest and the largest of the finite losses.
    pub(crate) low: f64,
    /// See `low`.
    pub(crate) high: f64,
}

impl Point {
    fn join(&mut self, later: Self) {
        if !later.loss.is_finite() {
            self.loss = f64::NAN;
        }
        self.low = self.low.min(later.low);
        self.high = self.high.max(later.high);
    }
}

/// The losses of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Course {
    points: Vec<Point>,
    /// The last loss of all.
    last: Option<Point>,
    /// Steps that share a point.
    stride: u64,
    /// Steps in the last point.
    in_last: u64,
}

impl Default for Course {
    fn default() -> Self {
        Self { points: Vec::new(), last: None, stride: 1, in_last: 0 }
    }
}

impl Course {
    /// One more loss, in any order of steps.
    pub(crate) fn add(&mut self, step: u64, loss: f64) {
        let point = Point { step, loss, low: loss, high: loss };
        if self.last.is_some_and(|last| step < last.step) {
            let at = self.points.partition_point(|earlier| earlier.step <= step);
            self.points.insert(at, point);
        } else {
            self.last = Some(point);
            match self.points.last_mut() {
                Some(shared) if self.in_last < self.stride => {
                    shared.join(point);
                    self.in_last += 1;
                }
                _ => {
                    self.points.push(point);
                    self.in_last = 1;
                }
            }
        }
        if self.points.len() > MOST_POINTS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let odd = self.points.len() % 2 == 1;
        let join = |pair: &[Point]| {
            let mut first = pair[0];
            pair[1..].iter().for_each(|second| first.join(*second));
            first
        };
        self.points = self.points.chunks(2).map(join).collect();
        self.in_last += if odd { 0 } else { self.stride };
        self.stride *= 2;
    }

    /// Forgets a step and all later ones.
    pub(crate) fn cut(&mut self, step: u64) {
        self.points.retain(|point| point.step < step);
        self.last = self.points.last().copied();
        self.in_last = self.stride;
    }

    /// The points, by step; the last loss is a point of its own.
    pub(crate) fn points(&self) -> Vec<Point> {
        let last = self.last.filter(|last| self.points.last().is_none_or(|shared| shared.step < last.step));
        self.points.iter().copied().chain(last).collect()
    }

    /// Whether a point stands for several steps.
    pub(crate) fn is_joined(&self) -> bool {
        self.points.iter().any(|point| point.low < point.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_ends_its_extremes_and_what_was_lost() {
        let mut course = Course::default();
        for step in 0..100_000_u64 {
            let loss = match step {
                33_333 => 50.0,
                77_777 => f64::NAN,
                _ => 1.0 + 1.0 / (1.0 + step as f64),
            };
            course.add(step, loss);
        }
        let points = course.points();
        assert!(points.len() <= MOST_POINTS + 1 && points.len() > MOST_POINTS / 4, "{}", points.len());
        assert_eq!((points[0].step, points[points.len() - 1].step), (0, 99_999));
        assert_eq!(points.iter().map(|point| point.high).fold(0.0, f64::max), 50.0);
        assert_eq!(points.iter().filter(|point| point.loss.is_nan()).count(), 1);
        course.cut(50_000);
        assert!(course.points().iter().all(|point| point.step < 50_000 && point.loss.is_finite()));
    }
}
