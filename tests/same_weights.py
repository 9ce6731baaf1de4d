"""The weights of a model of RecBole on our rows, given to one on RecBole's own data set, by token."""

import torch
from recbole.model.layers import ContextSeqEmbLayer, FMEmbedding

__all__ = ["copy_weights", "tables"]


def tables(model):
    """The embedding tables of a model of RecBole with the token fields that lie in them one behind the other."""
    owners = {}
    for name, module in model.named_modules():
        if isinstance(module, ContextSeqEmbLayer):
            for kind, fields in module.token_field_names.items():
                owners[f"{name}.token_embedding_table.{kind}"] = fields
    for name, module in model.named_modules():
        if isinstance(module, FMEmbedding):
            owner = model.get_submodule(name.rpartition(".")[0]) if "." in name else model
            yield name, owners.get(name) or owner.token_field_names


def lists(model):
    """The tables of lists of tokens, one a field, with the fields."""
    for name, module in model.named_modules():
        if isinstance(module, ContextSeqEmbLayer):
            for kind, fields in module.token_seq_field_names.items():
                yield f"{name}.token_seq_embedding_table.{kind}", fields
        elif isinstance(getattr(module, "token_seq_embedding_table", None), torch.nn.ModuleList):
            prefix = f"{name}." if name else ""
            yield f"{prefix}token_seq_embedding_table", module.token_seq_field_names


def copy_weights(source, source_data, target, target_data):
    """Give `target` the weights of `source`, embeddings by token."""
    state, found = dict(source.state_dict()), target.state_dict()
    for (name, fields), (_, their_fields) in zip(tables(source), tables(target), strict=True):
        assert list(fields) == list(their_fields)
        key = f"{name}.embedding.weight"
        weight, start, their_start = found[key].clone(), 0, 0
        for field in fields:
            tokens = target_data.field2id_token[field]
            here = torch.tensor([source_data.field2token_id[field][token] for token in tokens])
            weight[their_start : their_start + len(tokens)] = state[key][start + here]
            start += len(source_data.field2id_token[field])
            their_start += len(tokens)
        state[key] = weight
    for key, fields in lists(source):
        for number, field in enumerate(fields):
            tokens = target_data.field2id_token[field]
            here = torch.tensor([source_data.field2token_id[field][token] for token in tokens])
            state[f"{key}.{number}.weight"] = state[f"{key}.{number}.weight"][here]
    target.load_state_dict(state)
