//! A network's layers with their output shapes, parameters and multiply-adds, as torchinfo counts them.

use serde::Serialize;

use super::{Graph, Node};

/// One layer in a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// The layer's name, such as `conv1`.
    pub name: String,
    /// Its class in `torch.nn`.
    pub class: &'static str,
    /// Shape of its output without the batch.
    pub output: Vec<i64>,
    /// Number of elements of its parameters.
    pub parameters: u64,
    /// Multiply-adds per image.
    pub multiply_adds: u64,
}

/// The layers of a network, and its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One line per layer, in the order of `forward`.
    pub layers: Vec<LayerSummary>,
    /// Number of elements of all parameters.
    pub parameters: u64,
    /// Number of elements of all buffers, such as running statistics.
    pub buffers: u64,
    /// Multiply-adds of all layers per image.
    pub multiply_adds: u64,
}

impl Graph {
    /// The layers with their output shapes, parameters and multiply-adds, like `torchinfo.summary`.
    ///
    /// ```
    /// let lenet5 = stitch::models::named("lenet5")?;
    /// let summary = lenet5.graph(lenet5.options()).summary();
    /// let conv1 = &summary.layers[0];
    /// assert_eq!((conv1.name.as_str(), conv1.class), ("conv1", "Conv2d"));
    /// assert_eq!(conv1.output, [6, 28, 28]);
    /// assert_eq!((conv1.parameters, conv1.multiply_adds), (156, 156 * 28 * 28));
    /// # Ok::<(), stitch::models::UnknownModel>(())
    /// ```
    pub fn summary(&self) -> Summary {
        let mut lines: Vec<(usize, LayerSummary)> = Vec::new();
        for (layer, node) in self.layer_outputs() {
            let prefix =
                if layer.path.is_empty() { String::new() } else { format!("{}.", layer.path) };
            let of_layer =
                |name: &str| name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('.'));
            let specs = self.parameters.iter().filter(|spec| of_layer(&spec.name));
            let parameters = specs.map(|spec| spec.numel() as u64).sum();
            let Node { shape, layer: index, .. } = &self.nodes[node];
            // A layer may be applied more than once.
            let applied = self.nodes.iter().filter(|node| node.layer == *index);
            let line = LayerSummary {
                name: layer.path.clone(),
                class: layer.class,
                output: shape[1..].to_vec(),
                parameters,
                multiply_adds: applied
                    .map(|node| node.operation.multiply_adds(parameters, &node.shape))
                    .sum(),
            };
            lines.push((node, line));
        }
        lines.sort_by_key(|(node, _)| *node);
        let layers: Vec<LayerSummary> = lines.into_iter().map(|(_, line)| line).collect();
        Summary {
            parameters: self.parameters.iter().map(|spec| spec.numel() as u64).sum(),
            buffers: self
                .buffers
                .iter()
                .map(|spec| spec.shape.iter().product::<i64>() as u64)
                .sum(),
            multiply_adds: layers.iter().map(|layer| layer.multiply_adds).sum(),
            layers,
        }
    }
}
