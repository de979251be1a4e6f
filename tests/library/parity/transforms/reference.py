"""torchvision's random transforms of images, one after the other from one generator."""

import sys

import torch
from safetensors.torch import save_file
from torchvision.transforms import v2

torch.set_num_threads(1)
LISTS = {
    "crop:2": [v2.RandomCrop(28, padding=2)],
    "crop:0": [v2.RandomCrop(28, padding=0)],
    "crop:28": [v2.RandomCrop(28, padding=28)],
    "flip:0.5": [v2.RandomHorizontalFlip(0.5)],
    "flip:0": [v2.RandomHorizontalFlip(0.0)],
    "erase:1": [v2.RandomErasing(1.0)],
    "erase:0.1": [v2.RandomErasing(0.1)],
    "crop:2,flip:0.5,erase:0.1": [
        v2.RandomCrop(28, padding=2),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomErasing(0.1),
    ],
    "erase:0.3,flip:0.25,crop:5": [
        v2.RandomErasing(0.3),
        v2.RandomHorizontalFlip(0.25),
        v2.RandomCrop(28, padding=5),
    ],
}
tensors = {}
for seed in (0, 7):
    torch.manual_seed(seed)
    pixels = torch.randint(1, 256, (200, 1, 28, 28), dtype=torch.uint8)
    tensors[f"pixels {seed}"] = pixels.to(torch.int64)
    for name, transforms in LISTS.items():
        torch.manual_seed(seed)
        transform = v2.Compose(transforms)
        images = torch.stack([transform(image) for image in (pixels / 255.0).to(torch.float32)])
        tensors[f"{name} {seed}"] = images
        # What the generator draws next shows that as much was drawn.
        tensors[f"{name} {seed} next"] = torch.empty((), dtype=torch.int64).random_() % 2**53

# Colors, and another height than width.
pixels = torch.randint(1, 256, (100, 3, 20, 31), dtype=torch.uint8)
tensors["pixels 3x20x31"] = pixels.to(torch.int64)
torch.manual_seed(5)
transform = v2.Compose(
    [v2.RandomCrop((20, 31), padding=3), v2.RandomHorizontalFlip(0.5), v2.RandomErasing(0.7)]
)
images = torch.stack([transform(image) for image in (pixels / 255.0).to(torch.float32)])
tensors["crop:3,flip:0.5,erase:0.7 3x20x31"] = images


class Images(torch.utils.data.Dataset):
    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), index


images = (tensors["pixels 0"][:50] / 255.0).to(torch.float32)
transform = v2.Compose(LISTS["crop:2,flip:0.5,erase:0.1"])
torch.manual_seed(3)
loader = torch.utils.data.DataLoader(Images(images, transform), batch_size=16, shuffle=True)
for epoch in range(2):
    batches = list(loader)
    tensors[f"epoch {epoch} images"] = torch.cat([images for images, _ in batches])
    tensors[f"epoch {epoch} indices"] = torch.cat([indices for _, indices in batches])

save_file(tensors, sys.argv[1])
