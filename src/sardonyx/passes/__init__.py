"""Graph to graph, meaning kept: inference, folding, simplification, fusion, layout, lowering."""
