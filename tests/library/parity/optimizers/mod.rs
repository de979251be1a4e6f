//! Optimizers under schedulers, step by step, bit for bit.

use stitch::optim::lr_scheduler::LrScheduler;
use stitch::optim::{
    Adadelta, AdadeltaConfig, Adam, AdamConfig, Optimizer, RmsProp, RmsPropConfig, Sgd, SgdConfig,
};
use stitch::tensor_files::NamedTensor;
use tch::{Kind, Tensor};

use super::{assert_equal, reference, values, values_of};

const EPOCHS: usize = 3;
const STEPS: usize = 4;
const LR: f64 = 0.01;
const SCHEDULES: [&str; 4] = ["none", "step:2,0.3", "cosine", "onecycle"];

/// An optimizer of these parameters.
type New = fn(&[Tensor]) -> Box<dyn Optimizer>;

fn optimizers() -> [(&'static str, New); 12] {
    [
        ("adam", |p| Box::new(Adam::new(p, LR))),
        ("adam-wd", |p| adam(p, AdamConfig { weight_decay: 0.1, ..Default::default() })),
        ("adamw", |p| {
            let decoupled_weight_decay = true;
            adam(p, AdamConfig { weight_decay: 0.01, decoupled_weight_decay, ..Default::default() })
        }),
        ("sgd", |p| Box::new(Sgd::new(p, LR, SgdConfig::default()))),
        ("sgd-wd", |p| sgd(p, SgdConfig { weight_decay: 0.1, ..Default::default() })),
        ("sgd-momentum", |p| sgd(p, SgdConfig { momentum: 0.9, ..Default::default() })),
        ("sgd-nesterov", |p| {
            sgd(p, SgdConfig { momentum: 0.9, weight_decay: 0.01, nesterov: true })
        }),
        ("adadelta", |p| Box::new(Adadelta::new(p, LR, AdadeltaConfig::default()))),
        ("adadelta-wd", |p| {
            let config = AdadeltaConfig { weight_decay: 0.1, ..Default::default() };
            Box::new(Adadelta::new(p, LR, config))
        }),
        ("rmsprop", |p| rmsprop(p, RmsPropConfig::default())),
        ("rmsprop-wd", |p| rmsprop(p, RmsPropConfig { weight_decay: 0.1, ..Default::default() })),
        ("rmsprop-momentum", |p| {
            rmsprop(p, RmsPropConfig { momentum: 0.9, weight_decay: 0.01, ..Default::default() })
        }),
    ]
}

fn adam(parameters: &[Tensor], config: AdamConfig) -> Box<dyn Optimizer> {
    Box::new(Adam::with_config(parameters, LR, config))
}

fn sgd(parameters: &[Tensor], config: SgdConfig) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(parameters, LR, config))
}

fn rmsprop(parameters: &[Tensor], config: RmsPropConfig) -> Box<dyn Optimizer> {
    Box::new(RmsProp::new(parameters, LR, config))
}

/// Whether PyTorch refuses the schedule for the optimizer: OneCycleLR needs a momentum or betas.
fn is_refused(name: &str, schedule: &str) -> bool {
    name.starts_with("adadelta") && schedule == "onecycle"
}

fn float(tensor: &NamedTensor) -> Tensor {
    Tensor::from_slice(&values(tensor)).to_kind(Kind::Float)
}

#[test]
fn parameters_states_and_learning_rates_are_pytorchs() {
    let (_libtorch, expected) = reference("optimizers");
    let all = |name: &str| [0, 1].map(|i| float(&expected[&format!("{name} {i}")]));
    let mut compared = 0;
    for (name, new) in optimizers() {
        for schedule in SCHEDULES.into_iter().filter(|it| !is_refused(name, it)) {
            let parameters = all("initial");
            let mut optimizer = new(&parameters);
            let optimizer = optimizer.as_mut();
            let schedule_of_run = schedule.parse().unwrap();
            let mut scheduler = LrScheduler::new(schedule_of_run, optimizer, EPOCHS, STEPS);
            for step in 0..EPOCHS * STEPS {
                let at = format!("{name} {schedule} {step}");
                assert_equal(&at, &values(&expected[&format!("{at} lr")]), &[optimizer.lr()]);
                optimizer.update(&all(&format!("gradient {step}")));
                scheduler.step_batch(optimizer);
                if (step + 1) % STEPS == 0 {
                    scheduler.step_epoch(optimizer);
                }
                let state = optimizer.state();
                let state = state.iter().map(|(key, tensors)| (*key, *tensors));
                for (key, tensors) in [("parameter", &parameters[..])].into_iter().chain(state) {
                    for (i, tensor) in tensors.iter().enumerate() {
                        let of = format!("{at} {key} {i}");
                        assert_equal(&of, &values(&expected[&of]), &values_of(tensor));
                        compared += 1;
                    }
                }
            }
        }
    }
    let others = expected.keys().filter(|name| name.ends_with(" lr")).count();
    let inputs = 2 + 2 * EPOCHS * STEPS;
    assert_eq!(compared, expected.len() - others - inputs, "something was not compared");
}

#[test]
fn a_scheduler_that_replays_a_run_has_its_learning_rate_and_momentum() {
    let _libtorch = crate::common::libtorch(1);
    for schedule in SCHEDULES {
        let new = || Adam::new(&[Tensor::from_slice(&[1f32])], LR);
        let (mut run, mut resumed) = (new(), new());
        let schedule = schedule.parse().unwrap();
        let mut scheduler = LrScheduler::new(schedule, &mut run, EPOCHS, STEPS);
        for epoch in 0..EPOCHS {
            for step in 0..STEPS {
                let mut again = new();
                let mut replayed = LrScheduler::new(schedule, &mut again, EPOCHS, STEPS);
                replayed.replay(&mut again, epoch, step, STEPS);
                assert_eq!(again.lr().to_bits(), run.lr().to_bits(), "{schedule} {epoch} {step}");
                scheduler.step_batch(&mut run);
            }
            scheduler.step_epoch(&mut run);
        }
        LrScheduler::new(schedule, &mut resumed, EPOCHS, STEPS).replay(
            &mut resumed,
            EPOCHS,
            0,
            STEPS,
        );
        assert_eq!(resumed.lr().to_bits(), run.lr().to_bits(), "{schedule}");
    }
}
