"""Configurations and generators that know nothing of mettagrid, importable by class path from any
process."""

import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metta.cogworks.curriculum.task_generator import (
    Span,
    TaskConfig,
    TaskGenerator,
    TaskGeneratorConfig,
    TaskRandom,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=1, ge=0)
    tags: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Agent(BaseModel):
    rewards: dict[str, float] = Field(default_factory=lambda: {"heart": 1.0, "ore.red": 0.1})
    limits: dict[str, Item] = Field(default_factory=lambda: {"bag": Item(count=3)})


class Game(BaseModel):
    model_config = ConfigDict(extra="forbid")

    num_plants: int = Field(default=1, ge=0, le=100)
    density: Annotated[float, Field(ge=0, le=1)] = 0.5
    colour: Colour = Colour.RED
    daytime: bool = True
    even: int = 2
    low: int = 0
    high: int = 10
    agent: Agent = Field(default_factory=Agent)
    objects: list[Item] = Field(default_factory=lambda: [Item(), Item(count=2)])
    by_level: dict[int, str] = Field(default_factory=lambda: {1: "easy"})
    shape: tuple[int, int] = (3, 3)
    origin: Point = Point(0, 0)
    boss: Item | None = None
    anything: Any = None

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


class Room(BaseModel):
    label: str = "room"
    game: Game = Field(default_factory=Game)

    @cached_property
    def plants_twice(self) -> int:
        return 2 * self.game.num_plants


class FrozenRoom(BaseModel):
    model_config = ConfigDict(frozen=True)

    label: str = "frozen"
    size: int = 3


class Unlabelled(BaseModel):
    model_config = ConfigDict(extra="allow")

    size: int = 3


@dataclass
class PlainConfig:
    """A `TaskConfig` that is no pydantic model."""

    size: int = 3
    walls: list[int] = field(default_factory=lambda: [1, 2])

    def model_copy(self, *, deep: bool = False) -> "PlainConfig":
        return PlainConfig(self.size, list(self.walls))

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        return {"size": self.size, "walls": list(self.walls)}

    @classmethod
    def model_validate(cls, obj: Any) -> "PlainConfig":
        return cls(**obj)


class RoomGenerator(TaskGenerator[Room]):
    """A custom generator: needs what its __init__ makes, tells its slices and labels."""

    class Config(TaskGeneratorConfig):
        largest: int = 20

    def __init__(self, config: Config) -> None:
        super().__init__(config, axis_values={"plants": [Span(3, config.largest)]})
        self._names = ("small", "large")

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Room:
        return Room(
            label=self._task_label(task_id, rng),
            game=Game(num_plants=rng.randint(3, self.config.largest)),
        )

    def _task_label(self, task_id: int, rng: TaskRandom) -> str:
        return self._names[task_id % 2]

    def _slice_values(self, task_id: int, rng: TaskRandom) -> dict[str, Any]:
        return {"plants": rng.randint(3, self.config.largest)}


class MinimalGenerator(TaskGenerator[Room]):
    """The least that a generator needs; its configuration class is made for it."""

    def _generate_task(self, task_id: int, rng: TaskRandom) -> Room:
        return Room(game=Game(density=rng.random()))


_: type[TaskConfig] = PlainConfig
