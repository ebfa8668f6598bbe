"""Stage 6's edge: supervised fine-tuning of M(t) on selected pairs, giving M(t+1).

protocol   what the pipeline asks of a trainer
sft        TRL's SFTTrainer and PEFT, in processes of their own; follows them
launcher   starts one process, or one a GPU, and says which of them failed
worker     one of these processes
recipe     the settings in the words of TRL, PEFT, FSDP and DeepSpeed
batches    the same batches whatever the number of processes
resuming   which checkpoint a killed training can go on from
saving     gathers, merges and writes the trained model
memory     how much memory training takes, by arithmetic
scripted   a trainer that changes nothing, for tests
"""
