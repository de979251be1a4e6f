"""Steps of torch.optim's optimizers under its schedulers: parameters, states and learning rates."""

import sys

import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
EPOCHS, STEPS = 3, 4
# Whole vectors of every CPU and a remainder.
SIZES = (1039, 3)
OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adam-wd": (torch.optim.Adam, {"weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {}),
    "sgd-wd": (torch.optim.SGD, {"weight_decay": 0.1}),
    "sgd-momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "adadelta": (torch.optim.Adadelta, {}),
    "adadelta-wd": (torch.optim.Adadelta, {"weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "rmsprop-wd": (torch.optim.RMSprop, {"weight_decay": 0.1}),
    "rmsprop-momentum": (torch.optim.RMSprop, {"momentum": 0.9, "weight_decay": 0.01}),
    "sgd-nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
}
SCHEDULES = {
    "none": lambda optimizer, lr: None,
    "step:2,0.3": lambda optimizer, lr: torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.3),
    "cosine": lambda optimizer, lr: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
    "onecycle": lambda optimizer, lr: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=EPOCHS * STEPS
    ),
}

torch.manual_seed(0)
initial = [torch.randn(size) for size in SIZES]
gradients = [[torch.randn(size) * 10.0 ** -(step % 5) for size in SIZES] for step in range(EPOCHS * STEPS)]
tensors = {f"initial {i}": tensor for i, tensor in enumerate(initial)}
for step, of_step in enumerate(gradients):
    tensors |= {f"gradient {step} {i}": tensor for i, tensor in enumerate(of_step)}

for name, (cls, arguments) in OPTIMIZERS.items():
    for schedule, scheduler_of in SCHEDULES.items():
        lr = 0.01
        parameters = [tensor.clone().requires_grad_() for tensor in initial]
        optimizer = cls(parameters, lr=lr, **arguments)
        try:
            scheduler = scheduler_of(optimizer, lr)
        except ValueError:
            assert cls is torch.optim.Adadelta and schedule == "onecycle"
            continue
        for step, of_step in enumerate(gradients):
            at = f"{name} {schedule} {step}"
            tensors[f"{at} lr"] = torch.tensor(optimizer.param_groups[0]["lr"], dtype=torch.float64)
            for parameter, gradient in zip(parameters, of_step):
                parameter.grad = gradient.clone()
            optimizer.step()
            if schedule == "onecycle" or (scheduler and (step + 1) % STEPS == 0):
                scheduler.step()
            for i, parameter in enumerate(parameters):
                tensors[f"{at} parameter {i}"] = parameter.detach().clone()
                for key, value in optimizer.state[parameter].items():
                    if key != "step" and value is not None:
                        tensors[f"{at} {key} {i}"] = value.clone()

save_file(tensors, sys.argv[1])
