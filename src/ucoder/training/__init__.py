"""Stage 6's edge: supervised fine-tuning of M(t) on selected pairs, giving M(t+1).

protocol   what the pipeline asks of a trainer
sft        TRL's SFTTrainer and PEFT, in a process of its own
scripted   a trainer that changes nothing, for tests
"""
