//! The naive tch port, the standing example of what parity finds: each fault that tch's own
//! defaults would bring in, in a run that is right up to there.

use stitch::dataset::Split;
use stitch::dataset::loader::{RandomSampler, images};
use stitch::engine::StepOutput;
use stitch::evaluate::evaluate;
use stitch::models::{ModelEntry, named};
use stitch::nn::Model;
use stitch::optim::{Adam, Optimizer};
use stitch::parity::TracedSteps;
use stitch::parity::recorder::Recorder;
use stitch::train::{StepTensors, Tracer};
use tch::nn::OptimizerConfig as _;
use tch::{Device, Kind, Tensor, nn};

use super::*;

/// What a port takes from tch without looking.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing: this one must be equal.
    None,
    /// `nn::conv2d` and `nn::linear` with their default initial values.
    TchDefaults,
    /// PyTorch's bounds, but the bias of each layer drawn before its weight.
    BiasFirst,
    /// One `randperm` from the global generator, as `Tensor::randperm` gives it.
    OwnShuffle,
    /// The last, short batch dropped, as `Iter2` does.
    DroppedBatch,
    /// libtorch's C++ Adam.
    CppAdam,
}

/// One epoch of LeNet-5 with `fault`, traced as the port traces itself.
fn trace_naive(fault: Fault, folder: &Path) {
    let origin = stitch::dataset::source::find(Some(&LENET5.data())).unwrap();
    let _libtorch = common::libtorch(1);
    let data = stitch::dataset::source::load(origin).unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let naive = Naive::new(&vs.root());
    if fault != Fault::TchDefaults {
        naive.assign(&initial(fault));
    }
    let (model, steps) = (naive.model(), TracedSteps::default());
    let data_sets = [&data.train, &data.test];
    let mut recorder = Recorder::create(folder, steps, entry(), &model, data_sets).unwrap();
    let order = order(fault, data.train.len());
    recorder.order(1, &order);
    train(fault, &naive, &vs, &data.train, &order, &mut recorder);
    let model = naive.model();
    let evaluation = evaluate(&model, &data.test);
    recorder.finish(&model, &evaluation).unwrap();
}

/// Initial values by PyTorch's bounds.
fn initial(fault: Fault) -> Vec<Tensor> {
    tch::manual_seed(0);
    if fault != Fault::BiasFirst {
        let model = entry().zeros(entry().options(), Device::Cpu);
        model.reset_parameters();
        return model.parameters().iter().map(Tensor::detach).collect();
    }
    let mut values = Vec::new();
    for layer in entry().graph(entry().options()).parameters().chunks(2) {
        let fan_in: i64 = layer[0].shape[1..].iter().product();
        let bound = 1.0 / (fan_in as f64).sqrt();
        let draw = |shape: &[i64]| {
            Tensor::empty(shape, (Kind::Float, Device::Cpu)).uniform_(-bound, bound)
        };
        let bias = draw(&layer[1].shape);
        values.extend([draw(&layer[0].shape), bias]);
    }
    values
}

fn order(fault: Fault, n: usize) -> Vec<u32> {
    if fault == Fault::OwnShuffle {
        let order = Tensor::randperm(n as i64, (Kind::Int64, Device::Cpu));
        return Vec::<i64>::try_from(order).unwrap().into_iter().map(|i| i as u32).collect();
    }
    RandomSampler::new(n).next_order()
}

fn entry() -> &'static ModelEntry {
    named("lenet5").unwrap()
}

/// The epoch itself.
fn train(
    fault: Fault,
    model: &Naive,
    vs: &nn::VarStore,
    data: &Split,
    order: &[u32],
    recorder: &mut Recorder,
) {
    let mut cpp = nn::Adam::default().build(vs, 1e-3).unwrap();
    // libtorch's optimizer keeps its moments to itself: those of the right one, working on copies,
    // stand in for them.
    let parameters = match fault {
        Fault::CppAdam => model.parameters().iter().map(Tensor::copy).collect(),
        _ => model.parameters(),
    };
    let mut right = Adam::new(&parameters, 1e-3);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let mut total = 0.0;
    let batches: Vec<&[u32]> = match fault {
        Fault::DroppedBatch => order.chunks_exact(64).collect(),
        _ => order.chunks(64).collect(),
    };
    for (i, batch) in batches.iter().enumerate() {
        data.gather(batch, &mut pixels, &mut labels);
        let images = images(&pixels, entry().input, Kind::Float, Device::Cpu);
        let targets: Vec<i64> = labels.iter().map(|&label| label.into()).collect();
        let targets = Tensor::from_slice(&targets);
        let logits = model.forward(&images);
        let loss = logits.cross_entropy_for_logits(&targets);
        vs.variables().values_mut().for_each(Tensor::zero_grad);
        loss.backward();
        let gradients: Vec<Tensor> = model.parameters().iter().map(|p| p.grad().copy()).collect();
        if fault == Fault::CppAdam {
            cpp.step();
        }
        right.update(&gradients);
        if recorder.traces(i + 1, i + 1 == batches.len()) {
            let parameters = model.parameters();
            let output = StepOutput {
                images,
                labels: targets,
                layers: Vec::new(),
                logits,
                loss: loss.copy(),
                gradients,
            };
            let shared = |moments: &[Tensor]| moments.iter().map(Tensor::shallow_clone).collect();
            let optimizer: Vec<(&str, Vec<Tensor>)> =
                right.state().into_iter().map(|(name, moments)| (name, shared(moments))).collect();
            let (output, optimizer, parameters) = (&output, &optimizer[..], &parameters[..]);
            recorder.step(
                i + 1,
                &StepTensors { output, lr: 1e-3, optimizer, parameters, buffers: &[] },
            );
        }
        total += loss.double_value(&[]) * batch.len() as f64;
    }
    recorder.epoch(1, total / order.len() as f64);
}

/// LeNet-5 out of tch's layers.
struct Naive {
    layers: [nn::Linear; 3],
    convs: [nn::Conv2D; 2],
}

impl Naive {
    fn new(root: &nn::Path) -> Self {
        tch::manual_seed(0);
        let padded = nn::ConvConfig { padding: 2, ..Default::default() };
        let convs = [
            nn::conv2d(root / "conv1", 1, 6, 5, padded),
            nn::conv2d(root / "conv2", 6, 16, 5, Default::default()),
        ];
        let layers = [("fc1", 400, 120), ("fc2", 120, 84), ("fc3", 84, 10)].map(
            |(name, inputs, outputs)| nn::linear(root / name, inputs, outputs, Default::default()),
        );
        Self { layers, convs }
    }

    fn assign(&self, values: &[Tensor]) {
        tch::no_grad(|| {
            for (mut parameter, value) in self.parameters().into_iter().zip(values) {
                parameter.copy_(value);
            }
        });
    }

    /// A copy as a model of the registry.
    fn model(&self) -> Model {
        let model = entry().zeros(entry().options(), Device::Cpu);
        tch::no_grad(|| {
            for (place, value) in model.parameters().iter().zip(self.parameters()) {
                place.shallow_clone().copy_(&value);
            }
        });
        model
    }

    fn parameters(&self) -> Vec<Tensor> {
        let convs = self.convs.iter().map(|layer| (&layer.ws, &layer.bs));
        let layers = self.layers.iter().map(|layer| (&layer.ws, &layer.bs));
        convs
            .chain(layers)
            .flat_map(|(ws, bs)| [ws.shallow_clone(), bs.as_ref().unwrap().shallow_clone()])
            .collect()
    }

    fn forward(&self, xs: &Tensor) -> Tensor {
        let pool = |xs: Tensor| xs.relu().avg_pool2d(2, 2, 0, false, true, None::<i64>);
        let xs = pool(xs.apply(&self.convs[0]));
        let xs = pool(xs.apply(&self.convs[1])).view([-1, 400]);
        let [fc1, fc2, fc3] = &self.layers;
        xs.apply(fc1).relu().apply(fc2).relu().apply(fc3)
    }
}

/// The trace of a fault against the notebook's.
fn assert_found(fault: Fault, first: &str, cause: &str) {
    let folder = tempfile::tempdir().unwrap();
    trace_naive(fault, folder.path());
    assert_diverges(&LENET5.notebook().join("trace"), folder.path(), first)
        .stdout(predicate::str::contains(format!("likely cause: {cause}")));
}

#[test]
fn without_a_fault_it_equals_the_notebook() {
    let folder = tempfile::tempdir().unwrap();
    trace_naive(Fault::None, folder.path());
    assert_equal(&LENET5.notebook().join("trace"), folder.path());
}

#[test]
fn tchs_own_layer_defaults_are_found_at_the_initial_values() {
    assert_found(
        Fault::TchDefaults,
        "initial value of conv1.weight[0, 0, 0, 0]: ",
        "every element is 2.449490 times that of the reference",
    );
}

#[test]
fn bias_drawn_before_weight_is_found_at_the_initial_values() {
    assert_found(
        Fault::BiasFirst,
        "initial value of conv1.weight[0, 0, 0, 0]: ",
        "a different order of random draws",
    );
}

#[test]
fn another_shuffle_is_found_at_the_permutation() {
    assert_found(
        Fault::OwnShuffle,
        "epoch 1, permutation[0]: ",
        "the same samples in another order",
    );
}

#[test]
fn a_dropped_last_batch_is_found_where_the_epoch_ends_too_early() {
    // 1050 images are 16 batches of 64 and one of 26: the port's epoch ends, and is recorded, a step early.
    assert_found(
        Fault::DroppedBatch,
        "step 16, batch of images: unexpected",
        "different steps were recorded, or the runs have different steps: check batch size",
    );
}

#[test]
fn libtorchs_cpp_adam_is_found_at_the_second_update_where_it_first_rounds_otherwise() {
    assert_found(
        Fault::CppAdam,
        "step 2, conv1.weight[0, 0, 0, 0] after the optimizer step",
        "rounding: the difference is ",
    );
}
