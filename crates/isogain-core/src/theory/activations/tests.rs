use super::*;

fn parse(text: &str) -> Result<Activation, String> {
    #[derive(Deserialize)]
    struct Recipe {
        activation: Activation,
    }
    toml::from_str::<Recipe>(text).map(|recipe| recipe.activation).map_err(|error| error.to_string())
}

#[test]
fn table_and_folder_agree() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/theory/activations");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().replace('_', "-"))
        .filter(|stem| stem != "mod" && stem != "tests")
        .collect();
    files.sort();
    let names: Vec<&str> = Activation::all().map(Activation::name).collect();
    assert_eq!(names, files, "every file has its line in TABLE, in alphabetical order");
}

#[test]
fn derivative_is_the_slope_of_the_value() {
    for activation in Activation::all() {
        for i in -80..=80 {
            let x = f64::from(i) * 0.1 + 0.037;
            let h = 1e-5;
            let slope = (activation.value(x + h) - activation.value(x - h)) / (2.0 * h);
            // Both sides round their own size, which is 3000 for the exponential at 8.
            let error = (slope - activation.derivative(x)).abs() / slope.abs().max(1.0);
            assert!(error < 2e-9, "{activation} at {x}: {slope} against {}", activation.derivative(x));
        }
    }
}

#[test]
fn derivative_at_a_kink_is_pytorchs() {
    let at = |name: &str, x: f64| Activation::named(name).unwrap().derivative(x);
    assert_eq!(at("relu", 0.0), 0.0);
    assert_eq!(at("leaky-relu", 0.0), 0.01);
    assert_eq!(at("elu", 0.0), 1.0);
    assert_eq!(at("hard-tanh", 1.0), 0.0);
    assert_eq!(at("hard-tanh", -1.0), 0.0);
}

#[test]
fn values_in_the_tails_stay_finite_and_precise() {
    for activation in Activation::all() {
        for x in [-1e300, -800.0, 800.0, 1e300] {
            assert!(!activation.value(x).is_nan(), "{activation}({x})");
            // Only the exponential leaves the range of numbers, and its slope with it.
            let (value, slope) = (activation.value(x), activation.derivative(x));
            assert!(slope.is_finite() || value == f64::INFINITY && slope == f64::INFINITY, "{activation}'({x})");
        }
    }
    let tanh = Activation::tanh();
    assert!((tanh.derivative(30.0) / (4.0 * (-60f64).exp()) - 1.0).abs() < 1e-12);
}

#[test]
fn homogeneous_means_it() {
    for activation in Activation::all() {
        let holds = [-2.0, -0.3, 0.4, 5.0]
            .iter()
            .all(|&x| (activation.value(3.0 * x) - 3.0 * activation.value(x)).abs() < 1e-12);
        assert_eq!(activation.is_homogeneous(), holds, "{activation}");
    }
}

#[test]
fn range_is_never_left_and_always_reached() {
    for activation in Activation::all() {
        let (low, high) = activation.range();
        let values: Vec<f64> = (-4_000_000..=4_000_000)
            .step_by(7)
            .map(|i| activation.value(f64::from(i) * 1e-4))
            .chain([activation.value(-1e9), activation.value(1e9)])
            .collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(least >= low && most <= high, "{activation}: [{least}, {most}] in [{low}, {high}]");
        assert!(if low.is_finite() { least - low < 1e-6 } else { least < -1e6 }, "{activation}: {least}, {low}");
        assert!(if high.is_finite() { high - most < 1e-6 } else { most > 1e6 }, "{activation}: {most}, {high}");
    }
}

#[test]
fn active_range_ends_where_the_slope_does() {
    let range = |name: &str, epsilon: f64| Activation::named(name).unwrap().active_range(epsilon);
    // sech^2 x = 0.01 at x = acosh(10).
    let (low, high) = range("tanh", 0.01);
    assert!((high - 10f64.acosh()).abs() < 1e-9 && (low + high).abs() < 1e-12);
    // 1 / (1 + x)^2 = 0.01 at x = 9.
    assert!((range("softsign", 0.01).1 - 9.0).abs() < 1e-9);
    assert_eq!(range("relu", 0.5), (0.0, f64::INFINITY));
    assert_eq!(range("linear", 0.5), (f64::NEG_INFINITY, f64::INFINITY));
    // Nowhere is the sigmoid's slope above 1/4.
    assert_eq!(range("sigmoid", 0.3), (0.0, 0.0));
}

#[test]
fn written_as_a_name_or_a_table() {
    assert_eq!(parse("activation = 'relu'").unwrap(), Activation::relu());
    let leaky = parse("activation = { name = 'leaky-relu', slope = 0.2 }").unwrap();
    assert_eq!(leaky.parameter(), Some(("slope", 0.2)));
    assert_eq!(leaky.to_string(), "leaky-relu(slope = 0.2)");
    let integer = parse("activation = { slope = 0, name = 'leaky-relu' }").unwrap();
    assert_eq!(integer.parameter(), Some(("slope", 0.0)));
    assert_eq!(serde_json::to_string(&leaky).unwrap(), r#"{"name":"leaky-relu","slope":0.2}"#);
    let default = Activation::named("leaky-relu").unwrap();
    assert_eq!(serde_json::to_string(&default).unwrap(), r#""leaky-relu""#);
    for activation in Activation::all().chain([leaky]) {
        let text = serde_json::to_string(&activation).unwrap();
        assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), activation);
    }
}

#[test]
fn mistakes_name_what_was_meant() {
    let message = |text: &str| parse(text).unwrap_err();
    assert!(message("activation = 'rellu'").contains("unknown activation `rellu`, did you mean `relu`?"));
    assert!(message("activation = 'transformer'").contains("known: elu, exponential, gelu,"));
    assert!(
        message("activation = { name = 'leaky-relu', slop = 0.2 }")
            .contains("activation `leaky-relu` has no `slop`, did you mean `slope`?")
    );
    assert!(message("activation = { name = 'relu', slope = 0.2 }").contains("`relu` has no `slope`"));
    assert!(message("activation = { name = 'elu', alpha = -1 }").contains("alpha = -1 must be a number above 0"));
    assert!(message("activation = { slope = 0.2 }").contains("missing field `name`"));
    assert!(message("activation = 3").contains("a name, or a table"));
}
