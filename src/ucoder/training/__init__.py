"""Fine-tuning for stage 6: from M(t) and the selected pairs to M(t+1).

protocol      the interface that the pipeline uses, and a scripted trainer for tests
sft           TRL and PEFT, in processes of their own
launcher      starts one process, or one a GPU, and reports which of them failed
worker        one of these processes
recipe        the configuration in terms of TRL, PEFT, FSDP and DeepSpeed
trainers      TRL's trainers for SFT and DPO, with weights and a fixed order of examples
rendering     the tokens of examples and preference pairs
checkpoints   which checkpoint to resume from; writing the trained model
memory        how much memory training takes, by arithmetic
"""
